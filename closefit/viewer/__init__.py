"""`closefit view`: results in a browser, live, with corrections of who is who.

Nothing here imports torch, whose import alone takes longer than the first picture may.
"""
