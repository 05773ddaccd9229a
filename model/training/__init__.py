"""Training, from a folder of captioned photos to a checkpoint.

Five stages, one loop. `decoder` trains the decoder over cached features of a frozen encoder; `top` goes on from its
checkpoint and fine-tunes the last stage of the ResNet, too, over cached outputs of the stage before; `network`
fine-tunes every stage, from the photos themselves; `consensus` trains the decoder on the captions that agree best with
the others, people's and its own; `reward` on what captions that it samples are worth:

    python -m model train --dataset flickr8k:FOLDER --stage decoder --encoder FILE.safetensors --run runs/decoder
    python -m model train --dataset flickr8k:FOLDER --stage network --start runs/decoder/best --run runs/network
    python -m model train --dataset flickr8k:FOLDER --stage consensus --start runs/network/best --run runs/agreed

A run folder holds `settings.json`, `metrics.jsonl`, `curve.png`, `state.pt` (to resume from, after a kill too: run the
same command again), `best/`, the checkpoint with the highest BLEU-4 of captions generated on the validation split, and
`last/`, the one of the last epoch.
"""
