"""Headless Chromium by its DevTools protocol, over two pipes; for the tests of pages.

    with Browser() as b:
        b.screen(1400, 900, dark=True); b.open("/tmp/page.html"); b.run("document.title"); b.key("ArrowRight"); b.shot("/tmp/a.png")
        b.errors    # what the page logged as errors, and what it threw
"""
import base64, json, os, select, shutil, subprocess, tempfile, time

NAMES = ["chromium", "chromium-browser", "google-chrome"]


def chromium():
    """One that starts (Ubuntu's package is a snap, which does not in a container), or None."""
    return next((p for p in map(shutil.which, NAMES) if p and
                 subprocess.run([p, "--version"], capture_output=True).returncode == 0), None)


class Browser:
    def __init__(self):
        self.errors, self.requests, self.number, self.rest = [], [], 0, b""
        self.folder = tempfile.mkdtemp()
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()

        def pipes():  # Chromium reads from 3 and writes to 4
            a, b = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(a, 3), os.dup2(b, 4)

        self.process = subprocess.Popen(
            [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--hide-scrollbars", "--no-first-run", f"--user-data-dir={self.folder}",
             "about:blank"],
            close_fds=False, preexec_fn=pipes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in), os.close(theirs_out)
        self.session = None
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.terminate()
            self.process.wait(10)
        finally:
            self.process.kill()
            os.close(self.out), os.close(self.into)
            shutil.rmtree(self.folder, ignore_errors=True)

    def message(self, seconds=60):
        until = time.time() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.into], [], [], max(0, until - time.time()))[0]:
                raise TimeoutError("Chromium says nothing")
            got = os.read(self.into, 1 << 20)
            if not got:
                raise RuntimeError("Chromium ended")
            self.rest += got
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:400])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"])[:400])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.note(answer)

    def run(self, script):
        """The value of an expression, of a promise what it comes to."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def screen(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, path):
        """Seconds until the page says that it is ready and was painted."""
        self.errors, self.requests, begin = [], [], time.time()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        while not self.run("typeof Report === 'object' && Report.ready === true"):
            time.sleep(0.01)
            if time.time() - begin > 30:
                raise TimeoutError(f"{path} does not get ready: {self.errors}")
        self.settle()
        return time.time() - begin

    def settle(self):
        self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def key(self, key):
        code = {"Enter": 13, "Tab": 9}.get(key, 0)
        more = {"windowsVirtualKeyCode": code, "text": "\r" if key == "Enter" else ""} if code else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        self.settle()

    def point(self, selector):
        """Moves the mouse to the middle of an element."""
        x, y = self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
                        "const r = e.getClientRects()[0]; return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def shot(self, path, selector=None):
        """Of the whole page, or of one element."""
        self.settle()
        box = self.run("[0, 0, document.documentElement.scrollWidth, document.documentElement.scrollHeight]" if selector is None else
                       f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                       "return [r.x + scrollX, r.y + scrollY, r.width, r.height]; })()")
        clip = dict(zip(["x", "y", "width", "height"], box), scale=1)
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as file:
            file.write(base64.b64decode(made["data"]))
