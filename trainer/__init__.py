"""From corrections to a promoted version.

marks, spool, board        hints that webhooks leave, on disk and in the queue server
reconciler, due, watch     what Label Studio holds, against what was learnt: which training is due
queue, worker, job         one job a project, and the watch over a trainer in a process of its own
learning                   the training itself: gather, fine-tune, compare, decide
"""
