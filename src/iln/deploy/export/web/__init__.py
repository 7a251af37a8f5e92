"""A network as a page that restores pictures in the visitor's browser.

    program   a network as steps over maps, some rows at a time
    runtime   onnxruntime-web, which computes the graphs of the steps
    folder    all of it as a folder of files; `page/` are those that are always the same
"""
