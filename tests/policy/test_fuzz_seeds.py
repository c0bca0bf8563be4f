"""The fuzzer's good requests are good: the dashboard knows each of them, and each of its routes has one."""

from dashboard.compose import build
from dashboard.settings import Settings
from fuzzing.surfaces.dashboard import PATHS
from prometheus_client import CollectorRegistry
from service_kit.clock import SystemClock


def test_the_dashboards_routes_are_fuzzed_by_their_names_and_parameters() -> None:
    app = build(Settings.model_validate({}), SystemClock(), CollectorRegistry()).app
    routes = app.url_map.bind("localhost")
    fuzzed = {routes.match(path.partition("?")[0], return_rule=True)[0].rule for path in PATHS}
    assert {rule.rule for rule in app.url_map.iter_rules()} == fuzzed
    asked = app.test_client()
    assert [path for path in PATHS if asked.get(path).status_code == 400] == []
