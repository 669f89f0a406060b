"""A local stand-in for the hub's HTTP API, as far as creating a repository and a commit need it.

Addresses and forms of answers are those that huggingface_hub's `HfApi.create_repo` and
`upload_folder` ask for and read: repository, preupload, LFS batch and upload, YAML, commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_" + "a" * 34


class Hub:
    """Runs the server; a context manager.

    Attributes:
        repositories: By id, whether each is private.
        files: What was committed, by repository and path.
        asked: Every request, as method and path.
        denied: Refuse to create repositories, as for a token that may only read.
    """

    def __init__(self):
        self.repositories, self.files, self.asked, self.stored = {}, {}, [], {}
        self.denied = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _handler(hub):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def body(self):
                if self.headers.get("Transfer-Encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline(), 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def answer(self, content, status=200, error=""):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                if error:
                    self.send_header("X-Error-Code", error)
                    self.send_header("X-Error-Message", content.get("error", error))
                self.end_headers()
                self.wfile.write(body)

            def serve(self):
                hub.asked.append((self.command, self.path))
                body = self.body()
                if self.path.startswith("/lfs/"):  # signed addresses need no token
                    hub.stored[self.path.removeprefix("/lfs/")] = body
                    return self.answer({})
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self.answer({"error": "Invalid username or password."}, 401)
                return self.route(body)

            def route(self, body):
                path = self.path.partition("?")[0]
                if path == "/api/repos/create":
                    return self.create(json.loads(body))
                if path == "/api/validate-yaml":
                    return self.check(json.loads(body)["content"])
                if found := re.fullmatch(r"/([\w./-]+)\.git/info/lfs/objects/batch", path):
                    return self.batch(json.loads(body))
                found = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(/.*)?", path)
                name, rest = found[1], found[2] or ""
                if name not in hub.repositories:
                    return self.answer({"error": "Repository not found"}, 404, "RepoNotFound")
                if rest.startswith("/preupload/"):
                    files = json.loads(body)["files"]
                    return self.answer({"files": [self.mode(file["path"]) for file in files]})
                if rest.startswith("/commit/"):
                    return self.commit(name, body)
                return self.answer(
                    {"id": name, "private": hub.repositories[name], "siblings": [], "sha": "0" * 40}
                )

            def mode(self, path):
                kind = "lfs" if path.endswith((".safetensors", ".gguf")) else "regular"
                return {"path": path, "uploadMode": kind, "shouldIgnore": False}

            def create(self, asked):
                if hub.denied:
                    return self.answer({"error": "You don't have the rights"}, 403)
                name = f"{asked['organization']}/{asked['name']}"
                if name in hub.repositories:
                    return self.answer({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
                hub.repositories[name] = asked.get("visibility") == "private"
                return self.answer({"url": f"{hub.url}/{name}"})

            def check(self, content):
                data = yaml.safe_load(content.split("---")[1])
                wrong = [key for key in ("library_name", "model-index") if key not in data]
                found = {"errors": [{"message": f"no {key}"} for key in wrong], "warnings": []}
                return self.answer(found, 400 if wrong else 200)

            def batch(self, asked):
                return self.answer(
                    {
                        "transfer": "basic",
                        "objects": [
                            {**one, "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
                            for one in asked["objects"]
                        ],
                    }
                )

            def commit(self, name, body):
                files = hub.files.setdefault(name, {})
                for line in map(json.loads, body.decode().splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        content = hub.stored[value["oid"]]
                        assert hashlib.sha256(content).hexdigest() == value["oid"]
                        files[value["path"]] = content
                url = f"{hub.url}/{name}/commit/{'1' * 40}"
                return self.answer({"commitUrl": url, "commitOid": "1" * 40})

        for verb in ("GET", "POST", "PUT"):
            setattr(Handler, f"do_{verb}", Handler.serve)
        return Handler
