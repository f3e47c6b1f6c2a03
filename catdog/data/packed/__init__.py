"""Archives of photos, zip or tar.

``archive`` unpacks them once; ``members`` reads both kinds in one way, ``layout`` says where each
file is unpacked, and ``identity`` tells archives apart.
"""
