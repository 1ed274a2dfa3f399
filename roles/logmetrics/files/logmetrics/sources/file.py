"""Log files, followed by inode and signature through every kind of rotation.

A *track* is one file with the place up to which it was read. For each path there is one live track, the file that has
that name, and one for every older file that rotation has left and that may still grow (a writer keeps its handle until
it is told to reopen). A file is the same while its inode and two signatures are: the CRC-32 of its first bytes and of
the 256 bytes before the cursor. Where they differ, the content was replaced (copytruncate, or an inode used again), and
the rest of the old content is looked for beside it, by signature, also in compressed copies.
"""

from __future__ import annotations

import errno
import os
from stat import S_ISREG
from zlib import crc32

from .base import Budget, Report, Sink, Source
from .rotated import (
    PACKED,
    Moved,
    OutOfTime,
    Packed,
    Plain,
    Truncated,
    Unfinished,
    Unreadable,
    folders_beside,
    open_reader,
    rotated_name,
    siblings,
    signature,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .rotated import Reader

    # By device and inode: the path to which a file belongs.
    Known = dict[tuple[int, int], str]
    # By path, and by device and inode: (source, path) that a file is read as in this run.
    Claims = dict[object, tuple[str, str]]

SIGNED = 256  # bytes of each signature
CHUNK = 1 << 20  # bytes read at a time: what is made of them stays in the processor's cache
KEPT = 1 << 21  # bytes; blocks up to that size are kept
SETTLED = 600  # seconds without a change after which the last, unended line of a rotated file counts as a line
CLOCK_TICK = 0.02  # a file's mtime may lag behind the clock by this much
DONE = -1  # in `scanned`: a compressed copy that was read to its end
REMEMBERED = 86_400  # seconds for which a name that a glob does not find any more is remembered
WRITING = 300  # seconds: a compressed copy whose last change is not longer ago may still be written
LOOKS = 5  # at files that are being renamed
MAX_OLD = 64  # rotated files that are looked at for one path


class Track:
    """One file and how far it was read (offsets in bytes, mtime in nanoseconds)."""

    __slots__ = ("dev", "head", "head_length", "ino", "mtime", "offset", "path", "scanned", "size", "tail")

    def __init__(self, path: str, stat: os.stat_result | None = None) -> None:
        self.path = path
        self.dev = stat.st_dev if stat else 0
        self.ino = stat.st_ino if stat else 0
        self.offset = 0
        self.head_length = 0
        self.head = 0  # CRC-32 of the first head_length bytes
        self.tail = 0  # CRC-32 of the min(SIGNED, offset) bytes before the cursor
        self.size = 0  # at the last look
        self.mtime = 0
        self.scanned = 0  # no newline stands between offset and here (a very long line that is not yet complete)

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Track:
        """From the state."""
        track = cls(saved["path"])
        for key in cls.__slots__:
            setattr(track, key, saved[key])
        return track

    def save(self) -> dict[str, Any]:
        """For the state."""
        return {key: getattr(self, key) for key in self.__slots__}

    def is_file(self, stat: os.stat_result) -> bool:
        """Whether this is the same inode."""
        return stat.st_ino == self.ino and stat.st_dev == self.dev

    def unchanged(self, stat: os.stat_result) -> bool:
        """Whether nothing was written since the last look, at which the file was read to its end."""
        return stat.st_size == self.size and stat.st_mtime_ns == self.mtime

    def unchanged_in(self, copy: os.stat_result) -> bool:
        """Whether a compressed copy, which keeps the time of its original, has nothing that was not read."""
        return self.offset == self.size and copy.st_mtime_ns == self.mtime

    def holds(self, reader: Reader) -> bool:
        """Whether the reader's content is the one this track has read, by both signatures."""
        if self.head_length and signature(reader, self.head_length, 0) != self.head:
            return False
        length = min(SIGNED, self.offset)
        return not length or signature(reader, length, self.offset - length) == self.tail

    def sign(self, reader: Reader) -> None:
        """Take the signatures anew after reading."""
        length = min(SIGNED, self.offset)
        self.tail = crc32(reader.pread(length, self.offset - length)) if length else 0
        # Afterwards, as in a compressed file it is to begin anew.
        if self.head_length < SIGNED:
            # Beyond the cursor, too: so a file of which nothing was read yet is known again.
            head = reader.pread(SIGNED, 0)
            self.head_length, self.head = len(head), crc32(head)


class FileSource(Source):
    """A path or glob. The cursor holds for each path its live track, older ones, and when it was last looked at."""

    def __init__(self, pattern: str, line_max: int, clock: Callable[[], float], claims: Claims) -> None:
        self.clock = clock
        self.claims = claims  # those of all sources of a run
        self._twins: dict[str, tuple[str, str]] = {}  # names of files that are read by another: as what
        self.name = pattern
        self.line_max = line_max
        self._is_glob = any(char in pattern for char in "*?[")

    # Which paths there are.

    def paths(self) -> list[str]:
        """The live logs that the pattern names and no source before it; of several names of one file one, no link."""
        self._twins = {}
        if not self._is_glob:
            return [self.name] if self._claim(self.name) else []
        import glob  # noqa: PLC0415 - it imports `re`

        names = sorted(path for path in glob.glob(self.name) if os.path.isfile(path) or not os.path.exists(path))
        live = [path for path in names if not rotated_name(path, names)]
        live.sort(key=os.path.islink)
        return sorted(path for path in live if self._claim(path))

    def _claim(self, path: str) -> bool:
        me = (self.name, path)
        other = self.claims.get(path, me)
        try:
            stat = os.stat(path)
        except OSError:
            inode = None  # a name alone
        else:
            inode = stat.st_dev, stat.st_ino
            claimed = self.claims.get(inode, me)
            if claimed != me and _has_inode(claimed[1], inode):
                other = claimed
        if other != me:
            self._twins[path] = other
            return False
        self.claims[path] = me
        if inode is not None:
            self.claims[inode] = me
        return True

    def _leave_twins(self, cursor: dict[str, Any], report: Report) -> None:
        """What another name is read for is not read on here."""
        places = cursor["paths"]
        for path, (source, other) in self._twins.items():
            if path not in cursor.get("twins", ()):
                report.notes.append(f"{path}: is read as {other} already, so its lines count once; keep one of the two")
            live = places[path]["live"] if path in places else None
            if path != other and live and self.claims.get((live["dev"], live["ino"])) != (source, other):
                continue  # it was a file of its own until now
            place = places.pop(path, None)
            if place and source == self.name and other not in places:
                places[other] = place  # it got a new name, and its old one is a link to that
        cursor["twins"] = sorted(self._twins)

    # From where on.

    def start(self, cursor: dict[str, Any], beginning: bool) -> None:
        """Each file's end (the start of a line that is being written), or its beginning."""
        cursor["paths"] = {}
        cursor["twins"] = []
        now = self.clock()
        for path in self.paths():
            place: dict[str, Any] = {"live": None, "old": _already_rotated(path), "looked": now}
            cursor["paths"][path] = place
            try:
                reader = Plain(path)
            except OSError:
                continue  # not there yet: all of it will be new; not readable: the first run says so
            try:
                track = Track(path, reader.stat)
                if not beginning:
                    track.offset = _line_start(reader, self.line_max)
                    track.sign(reader)
                    track.size, track.mtime = reader.size, reader.stat.st_mtime_ns
                place["live"] = track.save()
            except Unfinished:
                continue  # as above
            finally:
                reader.close()

    # Reading on.

    def read(self, cursor: dict[str, Any], sink: Sink, budget: Budget) -> Report:
        """See Source. Files that are gone for good leave the cursor."""
        report = Report()
        places: dict[str, Any] = cursor.setdefault("paths", {})
        first_look = not places
        found = self.paths()
        self._leave_twins(cursor, report)
        known: Known = {}
        for path, place in places.items():
            for saved in ([place["live"]] if place["live"] else []) + place["old"]:
                known[saved["dev"], saved["ino"]] = path
        report.at_end = True
        for path in [
            *(path for path in places if path not in self._twins),
            *(path for path in found if path not in places),
        ]:
            fresh = path not in places
            if fresh and not first_look and _known_inode(path, known):
                continue  # another name, or a rotated one, of a file that is already read
            place = places.setdefault(path, {"live": None, "old": [], "looked": cursor.get("looked", 0)})
            _Follower(path, place, known, self.line_max, self.clock, sink, budget, report).run(fresh)
            held = {(saved["dev"], saved["ino"]) for saved in [place["live"] or {"dev": 0, "ino": 0}, *place["old"]]}
            for inode in [inode for inode, of in known.items() if of == path and inode not in held]:
                del known[inode]  # it may be used again, for another log
            if self._is_glob and not (path in found or place["live"] or place["old"]):
                # It may come back and be rotated before it is seen: only then is it known that the old file is new.
                gone = place.setdefault("gone", int(self.clock()))
                if abs(self.clock() - gone) > REMEMBERED:
                    del places[path]
            else:
                place.pop("gone", None)
        for inode, path in known.items():
            self.claims.setdefault(inode, (self.name, path))  # rotated ones, too
        cursor["looked"] = self.clock()
        return report


class _Follower:
    """Reads on in all files of one path."""

    def __init__(
        self,
        path: str,
        place: dict[str, Any],
        known: Known,
        line_max: int,
        clock: Callable[[], float],
        sink: Sink,
        budget: Budget,
        report: Report,
    ) -> None:
        self.path, self.place, self.known = path, place, known
        self.line_max, self.clock, self.sink, self.budget, self.report = line_max, clock, sink, budget, report
        self.live = Track.load(place["live"]) if place["live"] else None
        self.old = [Track.load(saved) for saved in place["old"]]
        self.olddirs: list[str] = place.setdefault("olddirs", [])  # folders in which old files of this log were found
        self._name = path.rpartition("/")[2]
        self.stopped = False  # by the budget or the sink: read nothing more in this run
        self.replaced = False  # a moment ago: the next run reads on
        self.unreadable = False
        self._set_back = False  # the log was written last before it was written before: so the clock was set back
        self._tail: bytes | None = None  # the last SIGNED bytes before the cursor, as they were read
        # Where the last run could not look into a file that may be new: since when (ns) to look again.
        self._since: int | None = place.pop("again", None)

    def run(self, fresh: bool) -> None:
        """Old files first, so that lines come in the order in which they were written."""
        looked = self.clock()
        # First, so that their signatures are of now: a short file's tell it from few others.
        self._old_ones()
        stat = self._stat(self.path)
        live = self.live
        if live is None:
            # The path was absent at the last look: files may have come and been rotated away since.
            if not fresh and self.place["looked"]:
                self._between(self._looked_ns(), [])
            self.live = self._named(stat)
        elif stat is None or not live.is_file(stat):
            self._rotated(live, stat)
        if self._since is not None:
            self._between(self._since, [])
        self._old_ones()
        if self.live is not None:
            self._live_one(self.live, stat)
        self.place["live"] = self.live.save() if self.live else None
        self.place["old"] = [track.save() for track in self.old[-MAX_OLD:]]
        self.place["looked"] = looked
        for track in [*self.old, *([self.live] if self.live else [])]:
            if not track.path.endswith(PACKED):
                self.report.lag += max(0, track.size - track.offset)
        if self.stopped:
            self.report.at_end = False
        if not self.unreadable:
            (self.report.unfinished if self.stopped or self.replaced else self.report.ended).add(self.path)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(path, error)
            return None

    def _unreadable(self, path: str, error: OSError) -> None:
        self.unreadable = True
        what_to_do = "let the user of the run read it (group adm, or an ACL)"
        if error.errno == errno.EINVAL:
            what_to_do = "name a log file"
        elif not isinstance(error, PermissionError):
            what_to_do = "check the disk"
        self.report.faults.append(f"{path}: cannot be read: {error.strerror}; {what_to_do}")

    def _adopt(self, stat: os.stat_result) -> Track:
        self.known[stat.st_dev, stat.st_ino] = self.path
        track = Track(self.path, stat)
        track.size = stat.st_size
        # It may be rotated before it can be opened: what was written before now is no news to the next run.
        if S_ISREG(stat.st_mode):
            track.mtime = stat.st_mtime_ns
        return track

    # The live file.

    def _live_one(self, track: Track, stat: os.stat_result | None) -> None:
        if stat is not None and track.is_file(stat) and track.unchanged(stat) and track.offset == track.size:
            return
        try:
            reader = Plain(self.path)
        except FileNotFoundError:
            self._renamed(track)
            return
        except OSError as error:
            self._unreadable(self.path, error)
            return
        try:
            if not track.is_file(reader.stat):
                self._renamed(track)
                return
            # What is read below is of the file that begins so, or is not taken.
            reader.look()
            if not track.holds(reader):
                self._set_back = reader.stat.st_mtime_ns < track.mtime
                self._replaced_content(track)
                self._old_ones()
                self.live = track = self._adopt(reader.stat)
            elif not track.head_length and track.mtime:
                # It was empty at the last look, so nothing tells whether it is the same file: others may have been
                # live between. What it holds now is in no copy that may have come since.
                track.head_length, track.head = len(reader.first), crc32(reader.first) if reader.first else 0
                since = min(track.mtime, self._looked_ns())
                track.mtime = reader.stat.st_mtime_ns  # which tells what older files need no more be known
                self._between(since, [track])
                self._old_ones()
            if reader.first:  # an empty one may be another at the next look
                self._drain(track, reader, final=False)
        except Truncated:
            if not track.offset:
                track.head_length = track.head = 0  # as if it had not been opened
            self._wait()
        except Unfinished as error:
            self.report.faults.append(str(error))
            self.report.at_end = False
            self.unreadable = True
        finally:
            reader.close()

    def _wait(self) -> None:
        """The live log was replaced a moment ago: the next run reads on."""
        self.report.at_end = False
        self.replaced = True

    def _renamed(self, track: Track) -> None:
        """The live log has another name by now."""
        if not track.head_length and not track.offset:
            # It was never read, so nothing tells it but its time.
            self.live = None
            self.place["again"] = min(track.mtime, self.place.get("again", track.mtime))
        self._wait()

    def _replaced_content(self, track: Track) -> None:
        """The live file was truncated or its inode used again: read the rest of what it held from a copy."""
        self.live = None
        copy = self._copy_of(track, ())
        if copy is not None:
            self.old.append(copy)
        elif track.head_length:
            self._lost(track, "was truncated or replaced, and no copy of what it held is beside it")
        self._between(track.mtime, [copy or track])

    # The file that was live until now.

    def _rotated(self, track: Track, stat: os.stat_result | None) -> None:
        self.live = copy = None
        self._set_back = stat is not None and stat.st_mtime_ns < track.mtime
        # Of a file that was empty the inode alone tells, and that may have been used again.
        was_empty = not track.head_length
        moved = self._find_inode(track)
        if moved is not None:
            track.path = moved
            self.old.append(track)
        else:
            # Few first bytes fit other files, too: then a copy beside it is the likelier one.
            if track.head_length == SIGNED and self._is_restored(track):
                return
            copy = self._copy_of(track, ())
            if (copy is None or copy is track) and self._is_restored(track):
                return
            if copy is not None:
                self.old.append(copy)
        # The look is the earlier one where the clock was set back since the file was written.
        since = min(track.mtime, self._looked_ns())
        if moved is not None and not was_empty:
            now = self._stat(moved)
            since = max(since, now.st_mtime_ns) if now else since
        came = self._between(since, [copy or track])
        # Of an empty file there is no signature: what came between may be it.
        if moved is None and copy is None and (track.head_length or (track.size and not came)):
            self._lost(track, "is gone, and no copy of it is beside it")
        self.live = self._named(stat)

    def _named(self, stat: os.stat_result | None) -> Track | None:
        """The file that had the live name when the run looked."""
        if stat is None:
            return None
        if any(track.is_file(stat) for track in self.old):
            self._wait()  # it was found under its new name since
            return None
        return self._adopt(stat)

    def _is_restored(self, track: Track) -> bool:
        """Whether the live name holds what was read under another inode or device; then it is read on from there.

        A device's number may be another after a boot (stat(2) promises none), and a log may be moved to a new disk.
        """
        if not track.head_length:
            return False
        try:
            reader = Plain(self.path)
        except OSError:
            return False
        try:
            if not track.holds(reader):
                return False
            self.known[reader.stat.st_dev, reader.stat.st_ino] = self.path
            track.dev, track.ino = reader.stat.st_dev, reader.stat.st_ino
        except Unfinished as error:
            # Nothing tells whether it is: what was read holds on until it can be read.
            self.report.faults.append(f"{error}; it is tried again at the next run")
            self._put_off(track)
        finally:
            reader.close()
        self.live = track
        return True

    def _between(self, since: int, not_these: list[Track]) -> int:
        """Files that were live and rotated away between two runs: not known, written after `since` (ns). How many.

        Where one cannot be looked into just now, nothing more is read in this run, and the next looks again.
        """
        found = 0
        for _ in range(LOOKS):
            more, unclear, moved = self._new_since(since, not_these)
            found += more
            if not moved:
                break
        if unclear or moved:
            self.place["again"] = min(since, self.place.get("again", since))
            self.stopped = True
        return found

    def _new_since(self, since: int, not_these: list[Track]) -> tuple[int, bool, bool]:
        """(new files, whether one could not be looked into, whether one was renamed meanwhile)."""
        found = 0
        unclear = moved = False
        tracks = [*not_these, *self.old, *([self.live] if self.live else [])]
        judged: list[list[int]] = self.place.get("judged", [])
        still: list[list[int]] = []
        for path, stat in siblings(self.path, self.olddirs):
            inode = stat.st_dev, stat.st_ino
            me = [*inode, stat.st_size, stat.st_mtime_ns]
            other = self.known.get(inode, self.path)
            if me in judged:
                # Read, or known for one that was: a clock that was set back since makes it no newer.
                still.append(me)
                continue
            if stat.st_mtime_ns < since or (other != self.path and _has_inode(other, inode)):
                continue
            try:
                reader = open_reader(path, self.budget, stat)
            except Moved:
                moved = True
                continue
            except (OSError, Unreadable):
                continue
            track = Track(path, reader.stat)
            try:
                known = next((one for one in tracks if _same_log(one, reader, reader.stat)), None)
                if known is not None:
                    if known is not self.live:  # that may be truncated before it is read
                        still.append(me)
                    continue
                # So that a copy of it which is there already, too, is known for one.
                track.sign(reader)
            except Unfinished:
                unclear = unclear or self._is_written(stat)
                continue
            finally:
                reader.close()
            self.known[inode] = self.path
            self.old.append(track)
            tracks.append(track)
            still.append(me)
            found += 1
        if still:
            self.place["judged"] = still[-MAX_OLD:]
        else:
            self.place.pop("judged", None)
        return found, unclear, moved

    def _is_written(self, stat: os.stat_result) -> bool:
        """Whether a compressed copy that cannot be read is likely to be readable soon."""
        return self.clock() - stat.st_mtime < WRITING

    # Older files.

    def _old_ones(self) -> None:
        kept = []
        for track in self.old:
            current = self._locate(track)
            if current is not None:
                kept.append(current)
        self.old = kept

    def _locate(self, track: Track) -> Track | None:
        """Read on in an older file; the track to keep, or None where it is gone for good."""
        stat = self._stat(track.path)
        if track.scanned == DONE:
            return self._finished(track, stat)
        if stat is not None and track.is_file(stat) and track.unchanged(stat) and track.offset == track.size:
            return track
        if stat is None or not self._is_still(track, track.path):
            moved = self._find_inode(track)
            if moved is not None:
                track.path = moved
            else:
                copy = self._copy_of(track, (track,))
                if copy is None:
                    if track.size > track.offset:
                        self._lost(track, "was deleted before it was read to its end")
                    return None
                if copy is track:
                    return track
                track = copy
        if track.path.endswith(PACKED):
            return self._drain_packed(track)
        return self._drain_plain(track)

    def _drain_plain(self, track: Track) -> Track | None:
        """Read on in an older file that is not compressed."""
        try:
            reader = Plain(track.path)
        except FileNotFoundError:
            self.stopped = True  # renamed or compressed a moment ago: the next run follows it
            return track
        except OSError as error:
            self._unreadable(track.path, error)
            return track
        try:
            if not track.is_file(reader.stat):
                self.stopped = True  # as above
            else:
                if not track.head_length and self._copies_another(reader):
                    return None  # the inode of an empty file was used again
                self._drain(track, reader, final=self._settled(reader.stat))
        except Truncated:
            self.stopped = True
        except Unfinished as error:
            self.report.faults.append(str(error))
            self.report.at_end = False
            self.unreadable = True
        finally:
            reader.close()
        return track

    def _copies_another(self, reader: Plain) -> bool:
        others = [*self.old, *([self.live] if self.live else [])]
        return any(other.head_length and _same_log(other, reader, reader.stat) for other in others)

    def _settled(self, stat: os.stat_result) -> bool:
        return self.clock() - stat.st_mtime > SETTLED

    def _is_still(self, track: Track, path: str) -> bool:
        """Whether the file of this name is the track's, by inode and by what it holds."""
        try:
            reader = open_reader(path, self.budget)
        except (OSError, Unfinished):
            return False
        try:
            return track.is_file(reader.stat) and track.holds(reader)
        except Unfinished:
            return True  # it is tried again at the next run
        finally:
            reader.close()

    def _drain_packed(self, track: Track) -> Track | None:
        """Read the rest of a compressed copy; as it never grows, it is then only remembered for a while."""
        if track.scanned == DONE:
            return track
        try:
            reader = Packed(track.path, self.budget)
        except (OSError, Unfinished):
            self.stopped = True
            return track
        try:
            if not track.is_file(reader.stat):
                self.stopped = True  # renamed a moment ago: the next run follows it
            elif self._drain(track, reader, final=True):
                track.size, track.mtime, track.scanned = track.offset, reader.stat.st_mtime_ns, DONE
                return track
        except OutOfTime as error:
            self._later(str(error))
        except Unfinished as error:
            self.report.faults.append(f"{error}; it is tried again at the next run")
        finally:
            reader.close()
        # Its length is not known before its end: at least one more byte is to be read.
        track.size = track.offset + 1
        return track

    def _finished(self, track: Track, stat: os.stat_result | None) -> Track | None:
        """A compressed copy that was read: known, lest it be taken for new, until the live file was written later."""
        looks_again = self._since is not None or "again" in self.place
        if not looks_again and self.live is not None and self.live.head_length and self.live.mtime > track.mtime:
            return None
        if stat is None or not track.is_file(stat):
            moved = [path for path, other in siblings(self.path, self.olddirs) if track.is_file(other)]
            if not moved:
                return None
            track.path = moved[0]
        return track

    def _find_inode(self, track: Track) -> str | None:
        """The new name of a renamed file, which still holds what was read; None where it is nowhere near."""
        for _ in range(LOOKS):
            try:
                found = self._inode_among(track, siblings(self.path, self.olddirs))
                for folder in folders_beside(self.path) if found is None else ():
                    found = self._inode_among(track, siblings(f"{folder}/{self._name}"))
                    if found is not None:
                        self._learn(folder)
                        break
            except Moved:
                continue
            return found
        return None

    def _inode_among(self, track: Track, files: list[tuple[str, os.stat_result]]) -> str | None:
        """As _find_inode, among these. Raises Moved where they were renamed meanwhile."""
        for path, stat in files:
            if not track.is_file(stat) or path.endswith(PACKED) != track.path.endswith(PACKED):
                continue
            try:
                reader = open_reader(path, self.budget, stat)
            except Moved:
                raise
            except (OSError, Unfinished):
                continue
            try:
                if track.holds(reader):
                    if isinstance(reader, Plain):
                        track.sign(reader)  # of a short file the first bytes may be more now, and tell it from others
                    return path
            except Unfinished:
                return path  # the inode alone tells, until it can be read
            finally:
                reader.close()
        return None

    def _learn(self, folder: str) -> None:
        """This log's old files are put there: from now on what is new there belongs to it, too."""
        if folder not in self.olddirs:
            self.olddirs.append(folder)

    def _later(self, why: str) -> None:
        """Read nothing more in this run: what comes first could not be read."""
        self.report.faults.append(why)
        self.stopped = True

    def _copy_of(self, track: Track, besides: tuple[Track, ...]) -> Track | None:
        """A file beside the log with the same content up to the cursor, by signature: a copy, compressed or not.

        The track itself where there was no time to look into a copy.
        """
        if not track.head_length:
            return None  # it was empty, so nothing can be recognised: _between takes it as a new file
        if self.stopped:
            return self._put_off(track)
        for _ in range(LOOKS):
            try:
                return self._copy_beside(track, besides)
            except Moved:
                continue
            except Unfinished:
                break
        # It may be one that cannot be looked into just now: nothing later is read before it.
        self.stopped = True
        track.size = max(track.size, track.offset + 1)
        return track

    def _copy_beside(self, track: Track, besides: tuple[Track, ...]) -> Track | None:
        """As _copy_of. Raises Moved, and Unfinished where a file that is still being written may be the copy."""
        # By inode: rotation may have given one's name to another since.
        taken = {(one.dev, one.ino) for one in self.old if one not in besides}
        copy = self._copy_among(track, siblings(self.path, self.olddirs), taken)
        # In other folders lie other logs' old files, too: only first bytes that are many tell.
        for folder in folders_beside(self.path) if copy is None and track.head_length == SIGNED else ():
            copy = self._copy_among(track, siblings(f"{folder}/{self._name}"), taken)
            if copy is not None:
                self._learn(folder)
                break
        return copy

    def _copy_among(
        self, track: Track, files: list[tuple[str, os.stat_result]], taken: set[tuple[int, int]]
    ) -> Track | None:
        """As _copy_beside, among these."""
        # A copy was last written when its original was, or later; first bytes that are few fit others, too.
        later = [one for one in files if one[1].st_mtime_ns >= track.mtime]
        earlier = (
            [one for one in reversed(files) if one not in later]
            if track.head_length == SIGNED or self._set_back
            else []
        )
        unclear: Unfinished | None = None
        for path, stat in later + earlier:
            if (stat.st_dev, stat.st_ino) in taken or (stat.st_size == 0 and not path.endswith(PACKED)):
                continue
            try:
                reader = open_reader(path, self.budget, stat)
            except Moved:
                raise
            except (OSError, Unreadable):
                continue
            try:
                copy = self._as_copy(track, reader, path, reader.stat)
                if copy is None:
                    continue
            except OutOfTime as error:
                self._later(str(error))
                return self._put_off(track)
            except Unfinished as error:
                if self._is_written(stat):
                    unclear = error
                continue
            finally:
                reader.close()
            self.known[stat.st_dev, stat.st_ino] = self.path
            return copy
        if unclear is not None:
            raise unclear
        return None

    def _settled_then(self, track: Track) -> bool:
        """Whether the time of the last look tells what was written after it."""
        return bool(track.mtime < self._looked_ns())

    def _looked_ns(self) -> int:
        """The last look, by the clock of then, which may have been set back since a file was written."""
        return int((self.place["looked"] - CLOCK_TICK) * 1e9)

    def _put_off(self, track: Track) -> Track:
        """Its copy is looked for by the next run, which must not take this run's look for one at the track."""
        if not self._settled_then(track):
            track.size = max(track.size, track.offset + 1)
        return track

    def _as_copy(self, track: Track, reader: Reader, path: str, stat: os.stat_result) -> Track | None:
        """The track in its copy, or None where the file is none. Raises Unfinished."""
        copy = Track(path, stat)
        copy.offset, copy.head, copy.head_length = track.offset, track.head, track.head_length
        # Nothing was written since the last look, at which all was read: no need to decompress it up to its end.
        if isinstance(reader, Packed) and self._settled_then(track) and track.unchanged_in(stat):
            if signature(reader, track.head_length, 0) != track.head:
                return None
            copy.tail, copy.size, copy.mtime, copy.scanned = track.tail, track.size, track.mtime, DONE
            return copy
        if not track.holds(reader):
            return None
        copy.tail = track.tail
        if track.head_length < SIGNED:
            copy.sign(reader)
        return copy

    def _lost(self, track: Track, what: str) -> None:
        unread = max(0, track.size - track.offset)
        self.report.lost += 1
        self.report.lost_bytes += unread
        tail = f"{unread} bytes are known to be lost" if unread else "lines written to it since the last run are lost"
        self.report.notes.append(f"{track.path} {what}: {tail}")

    # Lines.

    def _drain(self, track: Track, reader: Reader, final: bool) -> bool:
        """Hand on whole lines until the end; whether the end was reached. `final`: an unended last line counts too."""
        length = min(SIGNED, track.offset)
        self._tail = b""
        if isinstance(reader, Plain):
            self._tail = reader.pread(length, track.offset - length)
            reader.check()
        try:
            done = self._whole_lines(track, reader, final)
        finally:
            if isinstance(reader, Packed) or self._tail is None:
                track.sign(reader)
            else:
                # Not read again: it may be another's content by now.
                track.tail = crc32(self._tail) if self._tail else 0
                if track.head_length < SIGNED:
                    track.head_length, track.head = len(reader.first), crc32(reader.first)
        if isinstance(reader, Plain):
            # What was appended while reading has another mtime, so that the next run looks again.
            track.size, track.mtime = max(reader.size, track.offset), reader.stat.st_mtime_ns
        return done and not self.stopped

    def _whole_lines(self, track: Track, reader: Reader, final: bool) -> bool:
        done = False
        chunks = 0
        while not (self.stopped or done):
            if self.budget.over:
                self.stopped = True
                break
            try:
                chunk = reader.pread(CHUNK, track.offset)
                reader.check()
                chunks += 1
                if chunks == 2:
                    _keep_memory()
            except Unfinished as error:
                self._give(track, error.before[: error.before.rfind(b"\n") + 1])
                raise
            end = chunk.rfind(b"\n") + 1
            if end:
                self._give(track, memoryview(chunk)[:end])
                done = len(chunk) < CHUNK and track.offset >= 0 and end == len(chunk)
                continue
            if len(chunk) == CHUNK:
                done = not self._long_line(track, reader, final)
                continue
            done = True
            if chunk and final and not self.stopped:
                self._give_last(track, chunk)
        return done

    def _give(self, track: Track, data: bytes | memoryview) -> None:
        taken = self.sink.lines(self.path, data, track.offset)
        track.offset += taken
        if self._tail is not None:
            self._tail = (self._tail[-SIGNED:] + data[max(0, taken - SIGNED) : taken])[-SIGNED:]
        track.scanned = 0
        self.report.bytes += taken
        if taken < len(data):
            self.stopped = True

    def _give_last(self, track: Track, rest: bytes) -> None:
        if self.sink.lines(self.path, rest[: self.line_max] + b"\n", track.offset):
            track.offset += len(rest)
            self._tail = None
            track.scanned = 0
            self.report.bytes += len(rest)
        else:
            self.stopped = True

    def _long_line(self, track: Track, reader: Reader, final: bool) -> bool:
        """A line longer than a chunk: its first bytes count as the line; False where its end is not written yet."""
        self._tail = None
        at = max(track.scanned, track.offset)
        kept = b""
        while True:
            chunk = reader.pread(CHUNK, at)
            newline = chunk.find(b"\n")
            if not kept:
                # A hole, as copytruncate leaves it under a writer without O_APPEND, is no part of a line.
                solid = chunk[: newline if newline >= 0 else None].lstrip(b"\0")
                if not solid and newline < 0 and len(chunk) == CHUNK:
                    at += len(chunk)
                    track.offset = track.scanned = at
                    continue
            kept = kept or reader.pread(self.line_max, track.offset)
            if newline >= 0:
                end = at + newline + 1
                break
            at += len(chunk)
            if len(chunk) < CHUNK:
                if not final:
                    track.scanned = at
                    return False
                end = at
                break
            if self.budget.over:
                track.scanned = at
                self.stopped = True
                return True
        if not self.sink.lines(self.path, kept.partition(b"\n")[0] + b"\n", track.offset):
            self.stopped = True
            return True
        self.report.bytes += end - track.offset
        track.offset, track.scanned = end, 0
        return True


def _already_rotated(path: str) -> list[dict[str, Any]]:
    """The newest rotated files that are there at the start, as read to their ends: known, so never taken for new."""
    found = []
    for name, stat in siblings(path)[-2:]:
        if name.endswith(PACKED):
            continue
        try:
            reader = Plain(name)
        except OSError:
            continue
        try:
            track = Track(name, stat)
            track.offset = _line_start(reader, CHUNK)
            track.sign(reader)
            track.size, track.mtime = reader.size, reader.stat.st_mtime_ns
            found.append(track.save())
        except Unfinished:
            continue
        finally:
            reader.close()
    return found


def _has_inode(path: str, inode: tuple[int, int]) -> bool:
    """Whether a log, or a file that its rotation left, is this file now: the inode of a deleted one is used again."""
    try:
        stats = [os.stat(path)]
    except OSError:
        stats = []
    stats += [stat for _, stat in siblings(path)]
    return any((stat.st_dev, stat.st_ino) == inode for stat in stats)


def _known_inode(path: str, known: Known) -> bool:
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return (stat.st_dev, stat.st_ino) in known


def _same_log(track: Track, reader: Reader, stat: os.stat_result) -> bool:
    """Whether this is the track's file, or a copy of it: the same first bytes; of an empty file the same inode."""
    if not track.head_length:
        return track.is_file(stat) and isinstance(reader, Plain)
    return signature(reader, track.head_length, 0) == track.head


def _keep_memory() -> None:
    """Have the allocator keep what it gets: else each chunk's memory is given back and comes again page by page.

    A large block that is freed makes glibc do so up to its size: mallopt(3), M_MMAP_THRESHOLD.
    """
    bytes(KEPT)


def _line_start(reader: Plain, line_max: int) -> int:
    """Where the last line begins that has no newline yet; the file's size where every line is complete."""
    size = reader.size
    at = size
    while at > 0 and size - at < max(line_max, CHUNK):
        step = min(65_536, at)
        newline = reader.pread(step, at - step).rfind(b"\n")
        if newline >= 0:
            return at - step + newline + 1
        at -= step
    return 0 if at == 0 else size
