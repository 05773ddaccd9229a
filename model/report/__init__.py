"""A page to look at a model by: every photo of a split with its caption, where each word looked, and the references.

    python -m model report --dataset flickr8k:FOLDER --split dev --out report

writes `report/index.html` and `report/photos/`, a small JPEG an image. The page needs no server and no network: open it
from disk, or copy the folder anywhere. Where the model looked is in the page as 49 levels a word, drawn over the photo
when a reader points at the word, so that all photos of a split have it and none costs a picture.
"""
