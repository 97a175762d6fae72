"""Serve the example notebooks, call the revenue analysis over REST, show what came back, and go on serving.

What ``make run`` does. With ``--once`` it ends with the outcome instead of serving on: 0 when the call succeeded.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

NOTEBOOK = "analysis"
PARAMETERS = {"customer_name": "microsoft"}
START_SECONDS = 60


def main() -> int:
    """Run the demonstration; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port to serve on")
    parser.add_argument("--once", action="store_true", help="end with the outcome instead of serving on")
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.port}"
    folder = Path(__file__).resolve().parent
    server = subprocess.Popen(
        [sys.executable, "-m", "podbook", "serve", "--notebooks-dir", str(folder), "--port", str(options.port)]
    )
    succeeded = False
    try:
        if not _ready(url, server):
            return server.wait() or 1
        succeeded = _call(url)
        if not options.once:
            print(f"\nServing on {url} (its documentation: {url}/docs). Ctrl-C ends it.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        # Ctrl-C reaches the server as well, since it shares this terminal; a second signal does no harm.
        server.send_signal(signal.SIGTERM)
        server.wait()
    return 0 if succeeded else 1


def _ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success and server.poll() is None:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False


def _call(url: str) -> bool:
    print(f"\nPOST {url}/v1/run/{NOTEBOOK}\n{json.dumps(PARAMETERS)}\n", flush=True)
    answer = httpx.post(f"{url}/v1/run/{NOTEBOOK}", json=PARAMETERS, headers={"Prefer": "wait=120"}, timeout=150)
    print(f"{answer.status_code} {answer.reason_phrase}\n{answer.text}", flush=True)
    execution = answer.headers.get("Podbook-Execution")
    if execution:
        print(f"\nThe executed notebook as HTML: {url}/v1/executions/{execution}/html", flush=True)
    return answer.status_code == httpx.codes.OK


if __name__ == "__main__":
    sys.exit(main())
