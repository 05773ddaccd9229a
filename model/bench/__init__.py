"""`python -m model bench`: how fast captions come on this machine, beside a naive captioner, BLIP and the floor.

naive.py     the baseline: plain PyTorch as a first version would have it, with the same weights
blip.py      BLIP-base of `transformers`, at its real size, with random weights
subjects.py  everything that is timed, behind one call
worker.py    one subject in a process of its own, its cores and threads pinned
measure.py   all of them, in turn, so that a machine whose speed drifts drifts for all
serve.py     the real backend under a bulk
table.py     medians, the table and the ratios
"""
