"""Sample lines that may leave their host: of a line only what a rule's author or a developer wrote is shown.

A word stays where it stands in the regex of a rule or in the list below; every address becomes `<address>`, every
number `0`, and anything else `*`, also names, paths, quoted text and whatever a stranger typed. The list holds words
that programs say, so a password that is one of them is not told apart from what the program said.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

LONGEST = 240  # characters of a masked line

_LIST = """
a able abnormal aborted about accept accepted accepting access accessing account acct action activated activating
active add added address after again agent alert all allocate allocation allow allowed already an and another any
application applied archive are array as assertion at attach attached attempt attempts audit auth authenticated
authentication authorized automatic available back backend backup bad balance ban banned banner base based be became
because been before began begin begins being below between bind binding block blocked body boot both broken buffer bug
bus busy but by bytes cache cached call called can cancel cancelled cannot cannot certificate change changed changing
channel check checked checking checksum child class clean cleaning cleanup clear cleared client clock close closed
closing code cold command commit committed compaction complete completed config configuration configured confirm
connect connected connecting connection connections consumer contact container control controller copied copy core
corrupt corrupted could count cpu crash crashed create created creating critical cron current cycle daemon data
database datagram date days dead deadlock deactivated debug default deferred defined degraded delay delayed delete
deleted deleting delivered delivery denied deny deprecated detached detected device did died different directory
disable disabled disabling discard discarded disconnect disconnected disconnecting disconnection disk does done down
download downloaded drop dropped due duplicate during each empty enable enabled enabling encountered end ended ending
ends endpoint engine enough entering entries entry env environment error errors event events every exceeded exception
exceptional execute executed executing execution exist existing exists exit exited exiting expected expired export
extent external fail failed failing fails failure failures fallback fatal fault fetch fetched fetching few field file
filename files filesystem filter find finished finishing firewall first flags flush for forbidden forced forked format
found fragment free freed freeing from frontend full function garbage gateway get getting given got grace graceful
granted group groups had halted handle handler handling handshake hang hanging has have header health healthy heap
held help high host hostname hot hour hours http https id idle if ignore ignored ignoring image import in inactive
incoming incomplete incorrect increase index info information init initialized initializing input insert inside
install installed instance instead insufficient integrity interface internal interrupt interrupted into invalid
invoked is issue it item items its job jobs join joined just keep kept kernel key keys kill killed killing kind known
lag last late latency leader lease leased left length level limit limited limits line lines link list listen listener
listening load loaded loading local lock locked log logged login logout long lookup loop loss lost low mail main
maintenance make many map master match matched matching max maximum may memory message messages metadata method millis
min minimum minute minutes mismatch missing mode model module monitor monitoring more most mount mounted mounting
moved must name names near need needed negative network never new next no node none normal not notice nothing now null
number object obsolete of off offline old on once one online only open opened opening operation option or order other
out outgoing output over overflow overload own owner package packages packet packets page panic parent parse parsed
parsing part partial partition passed password path pause paused peer pending per percent permanently permission
permitted phase pid ping pipe please plugin point policy poll pool port position possible possibly post prepare
prepared prepares pressure previous primary priority probe problem process processed processes processing producer
program progress promoted protocol proxy public publish published put queue queued quit quota raised random range rate
reach reached read reading ready reason reboot received receiving recoverable recovered recovering recovery redirect
refused region register registered reject rejected release released reload reloaded reloading remote removal remove
removed removing rename renamed renewed repair repeated replaced replica replication report reported request requested
requests required reset resolve resolved resolving resource resources response restart restarted restarting restore
restored result results resume resumed retries retry retrying return returned returning revoked right rotate rotated
rotation route router rule rules run running runs same save saved saving scan scanned schedule scheduled scheduler
script second secondary seconds section security see segment select send sender sending sent sequence server servers
service services session sessions set setting settings shutdown shutting sig signal since size skip skipped skipping
slice slot slow smart so socket some source space spawned specified ssl stable stack stale standby start started
starting starts state statement status step still stop stopped stopping storage store stored stream string stuck style
subnet subsystem succeeded success successful successfully such support supported suspended swap switch switched sync
synced synchronized syncing syntax system table tag target task temperature temporarily temporary terminate terminated
terminating termination test than that the then there thermal this thread threads threshold throttled throttling time
timed timeout timer times timestamp tls to token too took total trace tracked transaction transfer triggered truncated
trust try trying type unable unauthorized unavailable unconfirmed under unexpected unhealthy unit unknown unlink
unlocked unmount unmounted unreachable unregistered unsupported until up update updated updates updating upgrade
upgraded upload uploaded upstream usage use used user users using utilization valid validate validation value
verification verified verify version via violation virtual volume wait waiting wake wakeup warn warning was watchdog
were when which while will with within without worker workers would write writes writing written wrong yes zone
"""
WORDS = frozenset(_LIST.split())

_TOKEN = re.compile(
    r"(?P<four>\b\d{1,3}(?:\.\d{1,3}){3}\b)"
    r"|(?P<number>(?<![\w.@/+-])[-+]?\d+(?:[.,:]\d+)*(?![\w@/+]))"
    r"|(?P<six>(?<![\w:])(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:.]+(?!\w))"
    r"|(?P<word>(?<!=)[^\W\d_]+(?:'(?:t|s|re|ll)\b)?(?![\w@/\\+-]|\.\w))"
    r"|(?P<text>[^\s\[\](){}<>,;:='\"|*!?]+)"
)
_REGEX_WORD = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\(\?P<\w+>|[A-Za-z]+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# A word in the place of a name is one, also where it is among the words.
_NOT_NAMES = ("invalid", "illegal", "unknown", "user", "the", "a", "an", "not", "from", "is", "has")
_NAMED = re.compile(
    rf"\b(for|by|as|user|login|account|username) (?!(?:{'|'.join(_NOT_NAMES)})\b)[^\W\d_]+(?![\w@/])", re.IGNORECASE
)
_STARS = re.compile(r"\*(?:[-*./@+_]*\*)+")


class Mask:
    """Masks lines; `patterns` are the regexes of all rules, whose words are no secret."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._words = set(WORDS)
        for pattern in patterns:
            self._words.update(
                found.lower() for found in _REGEX_WORD.findall(pattern) if found.isalpha() and len(found) > 1
            )

    def text(self, message: bytes) -> str:
        """The message with everything replaced that a log's writer did not write himself, cut to LONGEST characters."""
        shown = message[: LONGEST * 4].decode("utf-8", "replace")
        shown = _NAMED.sub(r"\1 *", _TOKEN.sub(self._token, _QUOTED.sub("'*'", shown)))
        shown = _STARS.sub("*", shown)
        shown = "".join(char if char.isprintable() else "*" for char in shown)
        return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."

    def line(self, program: bytes | None, message: bytes) -> str:
        """Program and masked message, without the stamp and the host's name."""
        name = "" if program is None else program.decode("utf-8", "replace") + ": "
        return name + self.text(message)

    def _token(self, found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind in ("four", "six"):
            return "<address>"
        if kind == "number":
            return "0"
        if kind == "word" and self._known(found.group()):
            return found.group()
        return "*"

    def _known(self, word: str) -> bool:
        return word.lower().partition("'")[0] in self._words
