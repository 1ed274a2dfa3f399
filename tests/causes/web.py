"""nginx, Apache, HAProxy and PHP-FPM: requests by their end, servers that are away, workers that run out."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import time

from causes.ledger import Ledger
from causes.shell import ENV, release, sh, wait_for, write

NGINX, APACHE, HAPROXY, BACKEND, NOBODY = 8081, 8082, 8083, 8084, 8099
PHP = {11: "7.4", 12: "8.2", 13: "8.4"}

NGINX_SITE = f"""\
limit_req_zone $binary_remote_addr zone=proof:1m rate=1r/m;
server {{
    listen {NGINX} default_server;
    root /var/www/proof;
    location / {{ try_files $uri =404; }}
    location = /file {{ }}
    location = /absent.html {{ }}
    location = /moved {{ return 301 /page; }}
    location = /private {{ deny all; }}
    location = /back {{ proxy_pass http://127.0.0.1:{NOBODY}; }}
    location = /limited {{ limit_req zone=proof; try_files /page =404; }}
}}
"""
APACHE_SITE = f"""\
Listen {APACHE}
<VirtualHost *:{APACHE}>
    DocumentRoot /var/www/proof
    ErrorLog ${{APACHE_LOG_DIR}}/error.log
    CustomLog ${{APACHE_LOG_DIR}}/access.log combined
    Redirect permanent /moved /page
    <Location /private>
        Require all denied
    </Location>
    ProxyPass /back http://127.0.0.1:{NOBODY}/
</VirtualHost>
"""
HAPROXY_CONFIG = f"""\
global
    log /dev/log local0
    user haproxy
    group haproxy
defaults
    log global
    mode http
    option httplog
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend web
    bind 127.0.0.1:{HAPROXY}
    http-request deny if {{ path /private }}
    default_backend app
backend app
    server s1 127.0.0.1:{BACKEND} check inter 200ms fall 1 rise 1
"""
POOL = """\
[proof]
user = www-data
group = www-data
listen = 127.0.0.1:9001
pm = ondemand
pm.max_children = 2
request_slowlog_timeout = 5s
slowlog = /var/log/proof-slow.log
request_terminate_timeout = 8s
catch_workers_output = yes
php_admin_flag[log_errors] = on
"""
SCRIPTS = {
    "good": "echo 'good';",
    "fatal": "nope();",
    "slow": "sleep(30);",
    "busy": "sleep(3);",
    "crash": "posix_kill(getmypid(), 11); sleep(1);",
}


def php() -> str:
    """The name of this release's FPM: its unit, its program, and in its log's name."""
    return f"php{PHP[release()]}-fpm"


def set_up() -> None:
    """Each with a site of its own, started."""
    write("/var/www/proof/page", "hello\n")
    write("/var/www/proof/folder/x", "x\n")
    write("/etc/nginx/sites-enabled/default", NGINX_SITE)
    sh("systemctl", "start", "nginx")
    write("/etc/apache2/ports.conf", "")
    write("/etc/apache2/sites-enabled/000-default.conf", APACHE_SITE)
    write("/etc/apache2/conf-enabled/name.conf", "ServerName proof\n")
    sh("a2enmod", "--quiet", "proxy", "proxy_http")
    sh("systemctl", "start", "apache2")
    write("/etc/haproxy/haproxy.cfg", HAPROXY_CONFIG)
    start_backend()
    sh("systemctl", "start", "haproxy")
    for name, body in SCRIPTS.items():
        write(f"/var/www/proof/{name}.php", f"<?php {body}\n")
    write(f"/etc/php/{PHP[release()]}/fpm/pool.d/www.conf", POOL)
    sh("systemctl", "start", php())


def start_backend() -> None:
    """The server behind HAProxy."""
    command = ["python3", "-m", "http.server", str(BACKEND), "--bind", "127.0.0.1", "--directory", "/var/www/proof"]
    sh("systemd-run", "--quiet", "--unit=proof-backend", "--property=StandardError=null", *command)
    wait_for("the backend", lambda: listens(BACKEND))


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str, status: int) -> tuple[int, int]:
    """One request that must end with this status; the sizes of the answer's head and body."""
    shown = sh(
        "curl",
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{size_header} %{size_download}",
        f"http://127.0.0.1:{port}{path}",
    )
    code, head, body = shown.split()
    if int(code) != status:
        raise SystemExit(f"causes: {path} on port {port}: status {code}, not {status}")
    return int(head), int(body)


def raw(port: int, words: bytes) -> bytes:
    """What a server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(words)
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer


def by_nginx(ledger: Ledger) -> None:
    """nginx: its own counters are the sizes that curl saw."""
    size = sum(get(NGINX, "/page", 200)[1] for _ in range(3))
    ledger.add("nginx", "request answered", 3, nginx__request=1, nginx__status_2xx=1)
    size += sum(get(NGINX, "/moved", 301)[1] for _ in range(2))
    ledger.add("nginx", "redirection", 2, nginx__request=1, nginx__status_3xx=1)
    size += sum(get(NGINX, "/nothing%22%20200%201", 404)[1] for _ in range(2))
    ledger.add("nginx", "path that does not exist (and imitates a status)", 2, nginx__request=1, nginx__status_4xx=1)
    size += get(NGINX, "/absent.html", 404)[1]
    ledger.add("nginx", "file that does not exist", 1, nginx__request=1, nginx__status_4xx=1, nginx__error=1)
    size += get(NGINX, "/private", 403)[1]
    ledger.add("nginx", "access forbidden by rule", 1, nginx__request=1, nginx__status_4xx=1, nginx__error=1)
    size += len(raw(NGINX, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").partition(b"\r\n\r\n")[2])
    ledger.add("nginx", "TLS spoken to a plain port", 1, nginx__request=1, nginx__status_4xx=1)
    size += sum(get(NGINX, "/back", 502)[1] for _ in range(2))
    ledger.add(
        "nginx",
        "server behind is away",
        2,
        nginx__request=1,
        nginx__status_5xx=1,
        nginx__error=1,
        nginx__upstream_error=1,
    )
    size += get(NGINX, "/limited", 200)[1] + get(NGINX, "/limited", 503)[1]
    ledger.add("nginx", "request within the limit", 1, nginx__request=1, nginx__status_2xx=1)
    ledger.add(
        "nginx", "request beyond the limit", 1, nginx__request=1, nginx__status_5xx=1, nginx__error=1, nginx__limited=1
    )
    ledger.add("nginx", "bytes of bodies that the clients received", 1, nginx__bytes=size)


def by_apache(ledger: Ledger) -> None:
    """Apache; Debian's log format has the bytes of heads and bodies."""
    size = sum(sum(get(APACHE, "/page", 200)) for _ in range(3))
    ledger.add("apache2", "request answered", 3, apache__request=1, apache__status_2xx=1)
    size += sum(sum(get(APACHE, path, 301)) for path in ("/moved", "/folder"))
    ledger.add("apache2", "redirection", 2, apache__request=1, apache__status_3xx=1)
    size += sum(sum(get(APACHE, "/nothing%22%20200%201", 404)) for _ in range(2))
    ledger.add("apache2", "path that does not exist", 2, apache__request=1, apache__status_4xx=1)
    size += sum(get(APACHE, "/private", 403))
    ledger.add("apache2", "access denied by configuration", 1, apache__request=1, apache__status_4xx=1, apache__error=1)
    size += len(raw(APACHE, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"))
    ledger.add("apache2", "TLS spoken to a plain port", 1, apache__request=1, apache__status_4xx=1)
    size += sum(get(APACHE, "/back", 503))
    # Two lines of level error a request: mod_proxy's about the connection, mod_proxy_http's about the request.
    ledger.add(
        "apache2",
        "server behind is away",
        1,
        apache__request=1,
        apache__status_5xx=1,
        apache__error=2,
        apache__backend_error=1,
    )
    ledger.add("apache2", "bytes that the clients received", 1, apache__bytes=size)


def by_haproxy(ledger: Ledger) -> None:
    """HAProxy with one server behind it, which then goes away."""
    wait_for(
        "HAProxy's first check",
        lambda: sh("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{BACKEND}/page") == "200",
    )
    for _ in range(3):
        get(HAPROXY, "/page", 200)
    ledger.add("haproxy", "request answered", 3, haproxy__request=1, haproxy__time_ms__count=1)
    get(HAPROXY, "/nothing", 404)
    ledger.add(
        "haproxy", "path that does not exist", 1, haproxy__request=1, haproxy__status_4xx=1, haproxy__time_ms__count=1
    )
    get(HAPROXY, "/private", 403)
    ledger.add(
        "haproxy", "request denied by a rule", 1, haproxy__request=1, haproxy__status_4xx=1, haproxy__time_ms__count=1
    )
    raw(HAPROXY, b"nonsense\r\n\r\n")
    ledger.add("haproxy", "no HTTP (<BADREQ>)", 1, haproxy__request=1, haproxy__status_4xx=1, haproxy__time_ms__count=1)
    sh("systemctl", "stop", "proof-backend")
    time.sleep(1.5)
    ledger.add("haproxy", "the only server stops", 1, haproxy__server_down=1, haproxy__no_server=1)
    get(HAPROXY, "/page", 503)
    ledger.add(
        "haproxy", "request without any server", 1, haproxy__request=1, haproxy__status_5xx=1, haproxy__time_ms__count=1
    )
    start_backend()
    time.sleep(1)
    ledger.add("haproxy", "the server is back", 1, haproxy__server_up=1)


def run_script(name: str) -> subprocess.Popen[bytes]:
    """One request to FPM, as a web server makes it."""
    env = {
        **ENV,
        "SCRIPT_FILENAME": f"/var/www/proof/{name}.php",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": f"/{name}.php",
        "REQUEST_URI": f"/{name}.php",
    }
    null = subprocess.DEVNULL
    return subprocess.Popen(
        ["cgi-fcgi", "-bind", "-connect", "127.0.0.1:9001"], env=env, stdin=null, stdout=null, stderr=null
    )


def by_php(ledger: Ledger) -> None:
    """PHP-FPM with two workers."""
    for _ in range(2):
        run_script("good").wait(60)
    ledger.add(php(), "script that works", 2)
    for _ in range(2):
        run_script("fatal").wait(60)
    ledger.add(php(), "script with an unknown function", 2, phpfpm__fatal=1)
    run_script("crash").wait(60)
    ledger.add(php(), "worker that dies of SIGSEGV", 1, phpfpm__crashed=1)
    run_script("slow").wait(60)
    ledger.add(
        php(),
        "script beyond request_slowlog_timeout and request_terminate_timeout",
        1,
        phpfpm__slow=1,
        phpfpm__terminated=1,
    )
    for script in [run_script("busy") for _ in range(6)]:  # at once, of which three overlap for sure; it is told once
        script.wait(60)
    ledger.add(php(), "six requests for two workers", 1, phpfpm__max_children=1)
    time.sleep(1)
    sh("systemctl", "restart", php())
    ledger.add(php(), "FPM restarted", 1, phpfpm__started=1)
    conf = f"/etc/php/{PHP[release()]}/fpm/php-fpm.conf"
    second = pathlib.Path("/tmp/second-fpm.conf")  # noqa: S108 - root's own host
    second.write_text(pathlib.Path(conf).read_text().replace("pid = ", ";pid = "))
    sh(f"/usr/sbin/php-fpm{PHP[release()]}", "--fpm-config", str(second), fails=True)
    ledger.add(php(), "a second FPM on the same address", 1, phpfpm__error=2)


def cause(ledger: Ledger) -> None:
    """One after the other."""
    by_nginx(ledger)
    by_apache(ledger)
    by_haproxy(ledger)
    by_php(ledger)
