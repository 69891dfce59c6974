"""Start HAProxy with four changes to the configuration that Ray rendered, for which Ray has no setting.

1. A request without an id gets one, and each the time it came, before it is sent to any replica. HAProxy repeats a
   request with its headers, so a request that runs twice has one id, and the second run can be recognised.
2. A request is sent on only when all of it has arrived (or fills the buffer). Many clients send head and body
   apart; HAProxy had then sent the head already, and could not repeat the request when the replica died.
3. The metrics listener binds loopback instead of all interfaces.
4. The statistics page likewise.

Ray starts this program instead of HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH`); it changes the file in place,
because Ray recognises its HAProxy by that file's name, and then becomes HAProxy under the same process id.
Standard library only: it runs without site packages. Usage: `haproxy_launcher.py HAPROXY [HAProxy's arguments]`.
"""

import os
import re
import sys
from pathlib import Path

REQUEST_ID_RULE = "    http-request set-header x-request-id %[uuid] unless { req.fhdr(x-request-id),length gt 0 }"
# Overwritten always: this is the ingress's own word, and rules run once however often the request is repeated.
RECEIVED_AT_RULE = "    http-request set-header x-received-at-ms %[date(0,ms)]"
BUFFER_RULE = "    option http-buffer-request"
_HTTP_FRONTEND = re.compile(r"^frontend http_frontend\n +bind [^\n]+$", re.MULTILINE)
_METRICS_BIND = re.compile(r"^(frontend prometheus\n +bind )(?:\*|127\.0\.0\.1)?:(\d+)$", re.MULTILINE)
_STATS_BIND = re.compile(r"^(listen stats\n +bind )(?:\*|127\.0\.0\.1)?:(\d+)$", re.MULTILINE)


def adapt(configuration: str) -> str:
    """Ray's configuration with our changes; raises ValueError if it has no place for one of them."""
    configuration = _replace_once(_METRICS_BIND, r"\g<1>127.0.0.1:\g<2>", configuration)
    configuration = _replace_once(_STATS_BIND, r"\g<1>127.0.0.1:\g<2>", configuration)
    if REQUEST_ID_RULE in configuration:
        return configuration
    return _replace_once(_HTTP_FRONTEND, rf"\g<0>\n{BUFFER_RULE}\n{REQUEST_ID_RULE}\n{RECEIVED_AT_RULE}", configuration)


def configuration_path(arguments: list[str]) -> Path:
    """The file named by HAProxy's `-f`."""
    return Path(arguments[arguments.index("-f") + 1])


def main(arguments: list[str]) -> None:
    """Adapt the configuration that `arguments` name, then become HAProxy."""
    path = configuration_path(arguments)
    adapted = adapt(path.read_text())
    # Replaced in one step: HAProxy must never read half a file.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(adapted)
    partial.replace(path)
    os.execv(arguments[0], arguments)


def _replace_once(pattern: re.Pattern[str], replacement: str, configuration: str) -> str:
    changed, num_changes = pattern.subn(replacement, configuration)
    if num_changes != 1:
        raise ValueError(
            f"HAProxy's configuration has {num_changes} places for {pattern.pattern!r}, expected 1: "
            "this version of Ray renders it differently; adapt cluster/haproxy_launcher.py."
        )
    return changed


if __name__ == "__main__":
    main(sys.argv[1:])
