"""Training, from a folder of captioned photos to a checkpoint.

Two stages, one loop. `decoder` trains the decoder over cached features of a frozen encoder; `network` goes on from its
checkpoint and fine-tunes everything, every stage of the ResNet included, from the photos themselves:

    python -m model train --dataset flickr8k:FOLDER --stage decoder --encoder FILE.safetensors --run runs/decoder
    python -m model train --dataset flickr8k:FOLDER --stage network --start runs/decoder/best --run runs/network

A run folder holds `settings.json`, `metrics.jsonl`, `curve.png`, `state.pt` (to resume from, after a kill too: run the
same command again), `best/`, the checkpoint with the highest BLEU-4 of captions generated on the validation split, and
`last/`, the one of the last epoch.
"""
