"""Keep every Graphite line that arrives on 127.0.0.1 (argv: file, port, and for TLS a certificate with its key).

One line in the file per line received, unchanged. Python 3.8 and later, standard library only: it runs on the hosts.
"""

import asyncio
import ssl
import sys
from pathlib import Path


async def main(path, port, certificate=None):
    """Serve for ever."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    async def keep(reader, _):
        while True:
            line = await reader.readline()
            if not line:
                return
            with Path(path).open("ab") as kept:
                kept.write(line)

    server = await asyncio.start_server(keep, "127.0.0.1", port, ssl=context)
    async with server:
        await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
