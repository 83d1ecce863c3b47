"""Protecting the key at rest: which eFuses would burn, in which order, and what each of them takes away for good.

The orders follow Espressif's guides for enabling flash encryption and secure boot v2 from the host: keys first, the fuse
that turns a feature on last, so that an interruption leaves a chip that still boots. Burning is espefuse's, by its library.
"""

import io
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import espsecure
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from espefuse import init_commands
from esptool.logger import log
from esptool.util import FatalError
from serial import SerialException

from rootlet.board.chip import reset_mode
from rootlet.errors import BadInput, RootletError
from rootlet.files import make_private_directory, read_input, write_secret

Feature = Literal["flash-encryption", "secure-boot", "ds"]
FEATURES: tuple[Feature, ...] = ("flash-encryption", "secure-boot", "ds")
CHIPS = ("esp32", "esp32s3", "esp32c3", "esp32c6")
KEY_BYTES = 32

STOCK = {
    "flash-encryption": "MicroPython's own builds do not support flash encryption: their bootloader does not encrypt, and "
    "what they write to vfs would not be encrypted. It takes a build of your own with CONFIG_SECURE_FLASH_ENC_ENABLED",
    "secure-boot": "MicroPython's own builds are not signed: the chip would refuse to boot them, for ever. It takes a build "
    "of your own, signed with the key whose digest is burned",
    "ds": "stock MicroPython has no hook by which TLS could use the DS peripheral (nor a secure element): its key could not "
    "be used. Only RSA keys can live there, and it takes a build of your own on esp_secure_cert_mgr",
}
"""What stands between each feature and a stock MicroPython."""


@dataclass(frozen=True)
class BurnStep:
    """One thing to burn. ``undone`` says what can no longer be undone afterwards."""

    feature: Feature
    action: Literal["key", "digest", "efuse"]
    target: str
    value: str
    undone: str


@dataclass(frozen=True)
class BurnPlan:
    """What would burn on a chip, in order, and what to know before."""

    chip: str
    steps: tuple[BurnStep, ...]
    warnings: tuple[str, ...]


def plan(chip: str, features: tuple[Feature, ...]) -> BurnPlan:
    """The steps for ``features`` on ``chip``. Raises BadInput for a feature that the chip lacks."""
    if chip not in CHIPS:
        raise BadInput(f"no plan for {chip}", hint=f"known chips: {', '.join(CHIPS)}")
    if chip == "esp32" and "ds" in features:
        raise BadInput("the ESP32 has no DS peripheral", hint="leave ds out, or choose an ESP32-S3, C3 or C6")
    steps: list[BurnStep] = []
    for feature in FEATURES:
        if feature in features:
            steps += (_ESP32 if chip == "esp32" else _later(chip))[feature]
    warnings = [STOCK[feature] for feature in FEATURES if feature in features]
    if chip == "esp32" and "secure-boot" in features:
        warnings.append("secure boot v2 needs an ESP32 of revision 3 or later")
    if "flash-encryption" in features:
        warnings.append("afterwards rootlet flash, verify, info and repair refuse the board: plain bytes mean nothing to it")
    return BurnPlan(chip, tuple(steps), tuple(warnings))


_NEVER_OFF = "the feature can never be turned off again"
_DEBUGGING = "this way of debugging the chip is gone"

_ESP32: dict[str, list[BurnStep]] = {
    "flash-encryption": [
        BurnStep("flash-encryption", "key", "BLOCK1", "flash_encryption", "the block can be neither read nor changed again"),
        BurnStep("flash-encryption", "efuse", "FLASH_CRYPT_CONFIG", "15", "how the key is mixed with the address is fixed"),
        BurnStep(
            "flash-encryption", "efuse", "DISABLE_DL_ENCRYPT", "1", "the bootloader in ROM no longer encrypts for a host"
        ),
        BurnStep(
            "flash-encryption", "efuse", "DISABLE_DL_DECRYPT", "1", "the bootloader in ROM no longer decrypts for a host"
        ),
        BurnStep(
            "flash-encryption", "efuse", "DISABLE_DL_CACHE", "1", "the bootloader in ROM no longer reads flash decrypted"
        ),
        BurnStep("flash-encryption", "efuse", "JTAG_DISABLE", "1", _DEBUGGING),
        BurnStep(
            "flash-encryption", "efuse", "FLASH_CRYPT_CNT", "127", _NEVER_OFF + "; plain bytes written later do not run"
        ),
    ],
    "secure-boot": [
        BurnStep(
            "secure-boot", "digest", "BLOCK2", "secure_boot_v2", "this signing key is the only one, without a successor"
        ),
        BurnStep("secure-boot", "efuse", "JTAG_DISABLE", "1", _DEBUGGING),
        BurnStep("secure-boot", "efuse", "ABS_DONE_1", "1", _NEVER_OFF + "; nothing unsigned boots"),
    ],
}


def _later(chip: str) -> dict[str, list[BurnStep]]:
    caches = ["DIS_DOWNLOAD_ICACHE"] + (["DIS_DOWNLOAD_DCACHE"] if chip == "esp32s3" else [])
    debugging = [("DIS_PAD_JTAG", _DEBUGGING), ("DIS_USB_JTAG", _DEBUGGING)]
    encryption = [
        ("DIS_DOWNLOAD_MANUAL_ENCRYPT", "the bootloader in ROM no longer encrypts for a host"),
        *((cache, "the bootloader in ROM no longer reads flash decrypted") for cache in caches),
        ("DIS_DIRECT_BOOT", "the legacy boot mode is gone"),
        *debugging,
    ]
    revoked = "a second signing key can never be added"
    return {
        "flash-encryption": [
            BurnStep(
                "flash-encryption", "key", "BLOCK_KEY0", "XTS_AES_128_KEY", "the block can be neither read nor changed again"
            ),
            *(BurnStep("flash-encryption", "efuse", name, "1", undone) for name, undone in encryption),
            BurnStep(
                "flash-encryption", "efuse", "SPI_BOOT_CRYPT_CNT", "7", _NEVER_OFF + "; plain bytes written later do not run"
            ),
        ],
        "secure-boot": [
            BurnStep("secure-boot", "digest", "BLOCK_KEY1", "SECURE_BOOT_DIGEST0", "this signing key cannot be exchanged"),
            *(BurnStep("secure-boot", "efuse", f"SECURE_BOOT_KEY_REVOKE{slot}", "1", revoked) for slot in (1, 2)),
            *(BurnStep("secure-boot", "efuse", name, "1", undone) for name, undone in debugging),
            BurnStep("secure-boot", "efuse", "SECURE_BOOT_EN", "1", _NEVER_OFF + "; nothing unsigned boots"),
        ],
        "ds": [
            BurnStep(
                "ds", "key", "BLOCK_KEY2", "HMAC_DOWN_DIGITAL_SIGNATURE", "the block can be neither read nor changed again"
            ),
        ],
    }


def rehearsal(file: Path, chip: str) -> "Fuses":
    """Virtual eFuses of one board in ``file``, which is made where it is missing: those of a new ``chip`` of today."""
    if not file.exists() and chip == "esp32":
        # espefuse's virtual ESP32 is of revision 0 otherwise; secure boot v2 needs 3.
        fresh = Fuses(chip=chip, virtual=file)
        fresh._commands.burn_efuse({"CHIP_VER_REV1": "1", "CHIP_VER_REV2": "1"})
    return Fuses(chip=chip, virtual=file)


class Fuses:
    """A chip's eFuses, or with ``virtual`` a file that stands for those of ``chip``."""

    def __init__(self, *, port: str | None = None, chip: str = "auto", virtual: Path | None = None) -> None:
        log.set_verbosity("silent")
        file = str(virtual) if virtual else None
        try:
            self._commands: Any = init_commands(
                port=port,
                before=reset_mode(port or ""),
                chip=chip,
                virt=virtual is not None,
                virt_efuse_file=file,
                do_not_confirm=True,
            )
        except (FatalError, SerialException, OSError) as error:
            raise RootletError(f"cannot read the eFuses: {error}", hint="check the port and the chip") from None
        self.chip = str(self._commands.esp.CHIP_NAME).lower().replace("-", "")
        self.mac = str(self._commands.efuses["MAC"].get()).split()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._commands.__exit__(kind, error, trace)

    def is_done(self, step: BurnStep) -> bool:
        """Whether the step's fuse is burned already. Of a key only that there is one: it cannot be read."""
        fuse = self._commands.efuses[step.target]
        if step.action == "efuse":
            return int(fuse.get_raw()) == int(step.value)
        return not fuse.is_writeable()

    def in_the_way(self, step: BurnStep, digest: bytes | None = None) -> str | None:
        """Why the step cannot be burned any more, or does not count as done; None where neither is so.

        ``digest`` is that of the signing key, for a step that burns one.
        """
        fuse = self._commands.efuses[step.target]
        if self.is_done(step):
            # Of a digest it can be seen which one: the block stays readable, its bytes in reverse order.
            foreign = step.action == "digest" and digest is not None and fuse.get_raw()[::-1] != digest
            return f"{step.target} holds the digest of another signing key" if foreign else None
        if step.action == "digest" and self.chip == "esp32" and (revision := self._commands.esp.get_chip_revision()) < 300:
            return f"this ESP32 is of revision {revision / 100:g}, secure boot v2 needs 3"
        if not fuse.is_writeable():
            return f"{step.target} is write-protected"
        if step.action != "efuse" and any(fuse.get_raw()):
            return f"{step.target} holds another key"
        return None

    def burn(self, step: BurnStep, key: bytes | None) -> None:
        """Burn one step. ``key``: 32 bytes, or for a digest the signing key's PEM. Raises RootletError where it failed."""
        try:
            if step.action == "efuse":
                self._commands.burn_efuse({step.target: step.value})
            else:
                assert key is not None
                burn = self._commands.burn_key if step.action == "key" else self._commands.burn_key_digest
                if self.chip == "esp32" and step.action == "digest":
                    burn(io.BytesIO(key))
                elif self.chip == "esp32":
                    burn([step.value], [io.BytesIO(key)])
                else:
                    burn([step.target], [io.BytesIO(key)], [step.value])
        except (FatalError, SerialException, OSError) as error:
            raise RootletError(f"{step.target} was not burned: {error}", hint="look at the chip: espefuse summary") from None
        if not self.is_done(step):
            raise RootletError(f"{step.target} does not read back as burned", hint="look at the chip: espefuse summary")


def apply(
    fuses: Fuses,
    wanted: BurnPlan,
    *,
    confirm: str,
    own_build: bool,
    records: Path,
    signing_key: Path | None = None,
    on_step: Callable[[BurnStep, bool], None] = lambda *_: None,
) -> Path:
    """Burn a plan; return the directory with its record and keys (0700, files 0600), written before anything burns.

    ``confirm`` must be the chip's MAC address; ``own_build`` says that a MicroPython build made for this exists. A second
    run after an interruption burns what is still missing. Raises BadInput, with nothing burned, where anything is not as
    it must be.
    """
    if fuses.chip != wanted.chip:
        raise BadInput(f"the plan is for {wanted.chip}, the chip is {fuses.chip}", hint="plan for this chip")
    if confirm.lower() != fuses.mac.lower():
        raise BadInput(f"not confirmed: this chip is {fuses.mac}", hint=f"read the plan, then: --confirm {fuses.mac}")
    if not own_build:
        raise BadInput(
            f"a stock MicroPython would not run afterwards, or not use it: {wanted.warnings[0]}",
            hint="with such a build at hand: --own-build",
        )
    needs_digest = any(step.action == "digest" for step in wanted.steps)
    if needs_digest and signing_key is None:
        raise BadInput("secure boot needs the signing key's digest", hint="give its RSA-3072 PEM: --signing-key")
    digest_of = read_input(signing_key, "signing key") if needs_digest and signing_key else None
    directory = records / fuses.mac.replace(":", "")
    pending = check_chip(fuses, wanted, digest_of)
    for step in wanted.steps:
        if step.action == "key" and step not in pending and not _key_file(directory, step).exists():
            raise BadInput(
                f"{step.target} was burned with a key that is not in {directory}", hint="name its record: --records"
            )
    keys = _record(directory, wanted)
    burn_all(fuses, wanted, keys, digest_of, on_step)
    return directory


def check_chip(fuses: Fuses, wanted: BurnPlan, signing_key: bytes | None) -> list[BurnStep]:
    """The steps that are not burned yet. Raises BadInput where one cannot be, or was with another signing key."""
    digest = signing_digest(signing_key) if signing_key else None
    for step in wanted.steps:
        if reason := fuses.in_the_way(step, digest):
            raise BadInput(f"{reason}: {step.feature} cannot be set up on this chip", hint="use another chip")
    return [step for step in wanted.steps if not fuses.is_done(step)]


def burn_all(
    fuses: Fuses,
    wanted: BurnPlan,
    keys: Mapping[str, bytes],
    signing_key: bytes | None,
    on_step: Callable[[BurnStep, bool], None] = lambda *_: None,
) -> None:
    """Burn what is not burned yet of a plan. ``keys`` has the key of each block, ``signing_key`` is PEM.

    Raises BadInput, with nothing burned, where a step cannot be burned or its key is missing.
    """
    pending = check_chip(fuses, wanted, signing_key)
    for step in pending:
        if step.action != "efuse" and (signing_key if step.action == "digest" else keys.get(step.target)) is None:
            raise BadInput(f"there is no key for {step.target}", hint="use another chip")
    for step in wanted.steps:
        if step in pending:
            fuses.burn(step, signing_key if step.action == "digest" else keys.get(step.target))
        on_step(step, step in pending)


def public_half(signing_key: bytes) -> bytes:
    """The public half of a signing key, PEM, whichever half is given. Raises BadInput."""
    try:
        if b"PRIVATE KEY" in signing_key:
            key: Any = serialization.load_pem_private_key(signing_key, None).public_key()
        else:
            key = serialization.load_pem_public_key(signing_key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's message could quote the file's content; an encrypted key is a TypeError.
        hint = "give an RSA-3072 key, PEM; its public half will do, and has no passphrase"
        raise BadInput("the signing key cannot be read", hint=hint) from None
    return bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def signing_digest(signing_key: bytes) -> bytes:
    """What secure boot v2 burns of a signing key (PEM, either half): SHA-256. Raises BadInput."""
    log.set_verbosity("silent")
    try:
        digest: bytes = espsecure._digest_sbv2_public_key(io.BytesIO(signing_key))
    except (FatalError, ValueError, TypeError) as error:
        raise BadInput(f"the signing key cannot be used: {error}", hint="give an RSA-3072 key, PEM") from None
    return digest


def _record(directory: Path, wanted: BurnPlan) -> dict[str, bytes]:
    """Write the plan and its keys down first: what is burned can never be read again."""
    make_private_directory(directory)
    keys = {}
    for step in wanted.steps:
        if step.action == "key":
            path = _key_file(directory, step)
            if not path.exists():
                write_secret(path, secrets.token_bytes(KEY_BYTES))
            keys[step.target] = path.read_bytes()
    write_secret(directory / "plan.json", json.dumps(asdict(wanted), indent=2).encode())
    return keys


def _key_file(directory: Path, step: BurnStep) -> Path:
    return directory / f"{step.feature}.key"
