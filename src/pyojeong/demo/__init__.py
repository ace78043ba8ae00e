"""The demo page: served on loopback, or written as a static site.

In come the page in ``web/demo``, the package's own model and those of the workspace. Only ``cli`` imports this package.
"""
