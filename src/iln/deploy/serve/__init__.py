"""`iln serve`: a page for people, and HTTP for programs, on one's own computer.

`app` makes the application and `running` runs it. Pictures are restored by the code of `iln
restore`: same options, names and bytes.
"""

from iln.deploy.serve.app import create_app
from iln.deploy.serve.running import serve
from iln.deploy.serve.settings import Settings

__all__ = ["Settings", "create_app", "serve"]
