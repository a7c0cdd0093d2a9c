"""The guard in conftest.py does catch what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_leaks_fail_and_clean_tests_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    source = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(source.replace("GRACE_S = 3.0", "GRACE_S = 0.1"))
    pytester.makepyfile(
        """
        import threading, time

        kept = []

        def test_clean(qapp):
            from qtpy.QtWidgets import QWidget

            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            window = QWidget()
            window.show()
            window.close()
            window.deleteLater()

        def test_window(qapp):
            from qtpy.QtWidgets import QWidget

            kept.append(QWidget())
            kept[0].setObjectName("forgotten")

        def test_thread():
            threading.Thread(target=time.sleep, args=(2,), daemon=True, name="lost").start()
        """
    )
    result = pytester.runpytest_subprocess("-p", "pytestqt.plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        ["*leaves behind: window*forgotten*", "*leaves behind: thread lost*"]
    )
