"""Metrics of the model service, as Prometheus reads them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
"""Seconds."""

DIFFERENCES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "aquifer_model_requests", "Requests answered.", ["model", "status"], registry=registry
        )
        self.seconds = Histogram(
            "aquifer_model_request_seconds",
            "Time from a whole request to its answer.",
            ["model"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.shed = Counter(
            "aquifer_model_requests_shed", "Requests refused for overload.", registry=registry
        )
        self.predictions = Counter(
            "aquifer_model_predictions", "Predictions made.", ["model", "by"], registry=registry
        )
        self.not_finite = Counter(
            "aquifer_model_not_finite",
            "Predictions that came to no number.",
            ["model", "version"],
            registry=registry,
        )
        self.difference = Histogram(
            "aquifer_model_shadow_difference",
            "How far the challenger's prediction is from the answer; 1 for another category.",
            ["model"],
            buckets=DIFFERENCES,
            registry=registry,
        )
        self.version = Gauge(
            "aquifer_model_version_info",
            "The version that is loaded under each alias.",
            ["model", "alias", "version"],
            registry=registry,
        )
        self.swaps = Counter(
            "aquifer_model_swaps",
            "Versions that took another's place.",
            ["model"],
            registry=registry,
        )
        self.refused = Counter(
            "aquifer_model_versions_refused",
            "Attempts to load a version that cannot be used.",
            ["model"],
            registry=registry,
        )
        self.registry_up = Gauge(
            "aquifer_model_registry_up", "Whether the registry answers.", registry=registry
        )
        self.queue = Gauge(
            "aquifer_prediction_log_queue",
            "Predictions that wait for the event log.",
            registry=registry,
        )
        self.dropped = Counter(
            "aquifer_prediction_log_dropped",
            "Predictions the event log never had.",
            registry=registry,
        )
