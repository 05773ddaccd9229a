"""Label Studio as data: label configs, tasks, images, predictions and the API session. Imports no other room."""
