"""A network as a page that restores pictures in the visitor's browser.

`program` makes steps over maps of it, `runtime` finds onnxruntime-web, which computes them, and
`folder` writes both with the files of `page`, which are always the same.
"""
