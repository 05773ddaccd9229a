"""The settings of a decoder's training, searched with Optuna over cached features.

    python -m model tune --dataset flickr8k:FOLDER --study studies/first --trials 30 --epochs 5

Each trial is a training run as `python -m model train` makes it, with the same code, the same seed and other settings;
it reports the BLEU-4 of the validation split after every epoch, and is given up when it lags behind the others. The
first trial has the defaults. A study folder holds

    study.db          Optuna's own record, which its dashboard reads, too
    study.png         BLEU-4 over trials, epochs and each setting
    trial-0000/ …     settings.json, metrics.jsonl and curve.png of each trial; the checkpoint of the best one alone

Stop it with Ctrl-C or kill it: the same command goes on, with the trial that was interrupted.
"""
