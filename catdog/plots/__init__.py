"""Every picture, as a PNG and as an HTML page.

``layout`` is what both share, ``canvas`` the paper; ``png``, ``html``, ``evaluation``, ``montage``
and ``study`` draw.
"""
