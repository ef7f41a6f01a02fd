"""Settings: a file, the environment on top, secrets from files, all faults at once and no secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from contactgate.errors import SettingsError
from contactgate.settings import Settings, load_settings


def test_the_environment_beats_the_file_and_secrets_come_from_files(tmp_path: Path) -> None:
    """A name in the environment wins; `<secret>_file` is read, stripped and hidden."""
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    (tmp_path / "s.yaml").write_text(f"prefix: p-\npartitions: 4\ntoken_key_file: {tmp_path / 'key'}\n")
    settings = load_settings(tmp_path / "s.yaml", {"CONTACTGATE_PREFIX": "q-", "CONTACTGATE_SEAL_KEY": "cd" * 32})
    assert (settings.prefix, settings.partitions) == ("q-", 4)
    assert settings.tokens_key() == b"ab" * 32
    assert settings.sealing_key() == b"\xcd" * 32
    assert "abab" not in repr(settings)
    assert "cdcd" not in str(settings.model_dump())


def test_every_fault_is_told_with_its_place_and_no_secret(tmp_path: Path) -> None:
    """Unknown names, bad values and unreadable key files are reported together."""
    (tmp_path / "s.yaml").write_text("partitions: 0\nwrokers: 3\npages_port: 70000\nseal_key_file: /nowhere/key\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "s.yaml", {"CONTACTGATE_TOKEN_KEY": "short-secret"})
    assert {fault.place for fault in caught.value.faults} >= {"partitions", "wrokers", "pages_port", "seal_key_file"}
    assert "short-secret" not in str(caught.value)


def test_combinations_that_cannot_work_are_refused() -> None:
    """SASL without a password, a password in clear, half a certificate and short keys are faults."""
    for wrong in (
        {"CONTACTGATE_SECURITY_PROTOCOL": "SASL_SSL"},
        {
            "CONTACTGATE_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "CONTACTGATE_SASL_MECHANISM": "PLAIN",
            "CONTACTGATE_SASL_USERNAME": "u",
            "CONTACTGATE_SASL_PASSWORD": "very-secret",
        },
        {"CONTACTGATE_TLS_KEY_FILE": "x"},
        {"CONTACTGATE_TOKEN_KEY": "short"},
        {"CONTACTGATE_SEAL_KEY": "x" * 33},
    ):
        with pytest.raises(SettingsError) as caught:
            load_settings(None, wrong)
        assert "very-secret" not in str(caught.value)


def test_a_missing_key_is_said_when_it_is_needed() -> None:
    """Commands that need no key run without one; those that do name the setting."""
    settings = Settings()
    with pytest.raises(SettingsError, match="token_key"):
        settings.tokens_key()
    with pytest.raises(SettingsError, match="seal_key"):
        settings.sealing_key()
