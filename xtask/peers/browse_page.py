"""Debian's Chromium at the page of a share, driven over WebDriver (chromium-driver).

Opens the page, asks for a part of its first file with fetch(), downloads that file by a click on its link, and waits, on a line of
standard input, until the page says that the share has ended. One JSON line for each step; screenshots beside each other.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import time
import urllib.request

PATIENCE = 30
# The browser as phones have it: narrow, with the page's own wish for its width.
SIZE = "400,800"

FETCH = """
const [name, from, to, done] = arguments;
const links = [...document.querySelectorAll('ul a')];
const link = links.find(link => decodeURIComponent(link.href).endsWith('/' + name));
fetch(link.href, {headers: {Range: `bytes=${from}-${to - 1}`}}).then(async answer => {
  const bytes = new Uint8Array(await answer.arrayBuffer());
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  done({status: answer.status, range: answer.headers.get('content-range'), hex});
}).catch(error => done({error: String(error)}));
"""


class Driver:
    """A session of chromedriver."""

    def __init__(self, downloads):
        self.process = subprocess.Popen(
            ["chromedriver", "--port=9515", "--log-level=SEVERE"], stdout=sys.stderr, stderr=sys.stderr)
        self.at = "http://127.0.0.1:9515"
        self.wait_ready()
        options = {
            "binary": "/usr/bin/chromium",
            # As root there is no sandbox; this namespace has nothing else to talk to than the share.
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
                     "--disable-background-networking", "--no-first-run", f"--window-size={SIZE}",
                     f"--user-data-dir={downloads}/.profile"],
            "prefs": {"download.default_directory": downloads, "download.prompt_for_download": False},
        }
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.at += "/session/" + answer["sessionId"]
        self.version = answer["capabilities"]["browserVersion"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=2 * PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def wait_ready(self):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if self.call("GET", "/status")["ready"]:
                    return
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script, *args):
        return self.call("POST", "/execute/async", {"script": script, "args": list(args)})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def end(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


def say(**what):
    print(json.dumps(what), flush=True)


def text(driver):
    """What somebody who looks at the page reads."""
    return driver.run("return document.body.innerText")


def wait(what, holds):
    end = time.monotonic() + PATIENCE
    while not (value := holds()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)
    return value


def downloaded(folder, name):
    path = os.path.join(folder, name)
    return path if os.path.exists(path) and not os.path.exists(path + ".crdownload") else None


def conduct(driver, args):
    # Over plain HTTP it holds a download back until somebody says that they want to keep it: this says so.
    keep = {"behavior": "allow", "downloadPath": args.downloads}
    driver.call("POST", "/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": keep})
    driver.call("POST", "/url", {"url": args.url})
    say(step="opened", title=driver.run("return document.title"), text=text(driver), chromium=driver.version)
    driver.screenshot(os.path.join(args.pictures, "page.png"))
    begin, end = (int(number) for number in args.range.split("-"))
    say(step="range", **driver.run_async(FETCH, args.name, begin, end))
    driver.run("[...document.querySelectorAll('ul a')].find(link => decodeURIComponent(link.href).endsWith('/' + arguments[0])).click()",
               args.name)
    say(step="downloaded", path=wait("the download", lambda: downloaded(args.downloads, args.name)))
    sys.stdin.readline()
    began = time.monotonic()
    over = wait("the end", lambda: driver.run("return getComputedStyle(document.getElementById('ended')).display != 'none'"))
    seconds = time.monotonic() - began
    driver.screenshot(os.path.join(args.pictures, "page-over.png"))
    say(step="over", over=over, seconds=seconds, text=text(driver))


def main():
    parser = argparse.ArgumentParser()
    for name in ("url", "name", "range", "downloads", "pictures"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    os.makedirs(args.downloads, exist_ok=True)
    driver = Driver(args.downloads)
    try:
        conduct(driver, args)
    finally:
        driver.end()


if __name__ == "__main__":
    main()
