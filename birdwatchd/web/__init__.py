"""The page: what the garden did, and what waits for an answer, in a browser.

A door of its own, in a process of its own. It has the network and parses no picture: it shows the thumbnails that the daemon made. It
writes wishes (`requests`) and nothing else; whoever holds the bird folder's lock fulfils them.
"""
