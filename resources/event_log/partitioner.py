"""Which partition an event goes to: by Kafka's own hash, so that all logs place alike."""

from random import randrange

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint32]

_SEED, _MULTIPLIER = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)


def partitions_of(keys: pa.ChunkedArray, partitions: int) -> npt.NDArray[np.int64]:
    """The partition of each key, one that is null in turn; as the Java client places them."""
    encoded = keys.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    # Few keys come often: each is hashed once.
    placed = (murmur2(distinct) & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions
    spread = (np.arange(len(keys)) + randrange(partitions)) % partitions
    if not len(distinct):
        return spread
    indices = encoded.indices
    taken = placed[pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)]
    return np.where(indices.is_null().to_numpy(zero_copy_only=False), spread, taken)


def murmur2(keys: pa.BinaryArray) -> Hashes:
    """The hash of each key, none of them null, that Kafka's clients partition by."""
    hashes = np.empty(len(keys), np.uint32)
    lengths = pc.binary_length(keys).to_numpy(zero_copy_only=False)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        octets = b"".join(keys.take(pa.array(same)).to_pylist())
        hashes[same] = _of_length(np.frombuffer(octets, np.uint8).reshape(len(same), length))
    return hashes


def _of_length(octets: npt.NDArray[np.uint8]) -> Hashes:
    """The hashes of keys of one length, a row each."""
    count, length = octets.shape
    whole = length // 4 * 4
    hashes = np.full(count, _SEED ^ np.uint32(length), np.uint32)
    for word in np.ascontiguousarray(octets[:, :whole]).view("<u4").T:
        mixed = word * _MULTIPLIER
        hashes = hashes * _MULTIPLIER ^ (mixed ^ mixed >> np.uint32(24)) * _MULTIPLIER
    if rest := length - whole:
        for place in range(rest):
            hashes ^= octets[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint32(13)
    hashes *= _MULTIPLIER
    return hashes ^ hashes >> np.uint32(15)
