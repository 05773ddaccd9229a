"""The HTTP service that Label Studio talks to: predictions out, webhooks in."""
