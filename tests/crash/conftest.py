"""What crash tests found out, told at the end of the run: a harness that hit nothing proves nothing."""

from collections.abc import Callable

import pytest


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes one line for the end of the run."""
    return lambda line: request.node.user_properties.append(("crash figures", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        line
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
        for key, line in report.user_properties
        if key == "crash figures"
    ]
    if lines:
        terminalreporter.section("crash figures")
        for line in lines:
            terminalreporter.line(line)
