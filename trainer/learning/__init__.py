"""One training of one project: from its corrections in Label Studio to a decision about a challenger.

    begin      one run a project at a time; who is champion, and what this run is made of
    gather     the corrections and their pictures; some photos are kept apart for good
    finetune   the champion, on the corrections and on photos replayed from BASE_DATASET
    evidence   champion and challenger caption the same photos
    gate       is the challenger better, by more than chance?
    decide     publish and promote, or keep the champion; the history says why

Every stage leaves a file in MODEL_DIR/runs/<project>/<run>/, so a run that was killed goes on where it was:

    run.json           champion, seed and recipe
    corrections.jsonl  a line a photo: its content key, captions, tasks, and whether it is held out
    harvest.json       counts, watermark
    replay.jsonl       the photos replayed beside them
    agreed.jsonl       those of them with several captions, and the ones that are learnt
    finetune/          resumable state of the fine-tuning
    challenger/        its checkpoint
    evidence/          what both wrote
    gate.json          the verdict and its figures
    report.json        the decision: the last file
    metrics.jsonl      what happened when

Beside the runs, MODEL_DIR/runs/<project>/progress.json says how far the present one is.
"""
