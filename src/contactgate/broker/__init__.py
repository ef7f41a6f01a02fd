"""An embedded, real Apache Kafka for development, the demo and the tests.

    DevKafka, DevCluster    one node or several, children of this process
    bootstrap_or_start      the cluster KAFKA_BOOTSTRAP names, or one of its own for the duration of the `with` block
    up, down, status        one that stays until it is stopped

Production never imports this package: only the command line and the tests do.
"""

from contactgate.broker.background import BrokerStatus, NodeStatus, down, status, up
from contactgate.broker.bootstrap import Bootstrap, bootstrap_or_start
from contactgate.broker.cluster import DevCluster, DevKafka
from contactgate.broker.install import KAFKA_VERSION

__all__ = [
    "KAFKA_VERSION",
    "Bootstrap",
    "BrokerStatus",
    "DevCluster",
    "DevKafka",
    "NodeStatus",
    "bootstrap_or_start",
    "down",
    "status",
    "up",
]
