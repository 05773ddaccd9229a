"""From corrections to a promoted version. Here so far: the queue server, and the marks that webhooks leave in it."""
