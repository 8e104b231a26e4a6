"""A worker process for tests: an agent with a service of its own on the test's database.

python -m tests.worker.agent_process HOME WORKSPACE OPTIONS
"""

import json
import logging
import sys
from pathlib import Path

from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.worker.agent import Agent, AgentOptions
from tests.worker.objectives import PATHS, SCRIPTED

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s")
    home, workspace, options = sys.argv[1:]
    service = Service(Settings(home=Path(home), lease_seconds=1.0), [SCRIPTED])
    service.open(reaper=False)
    agent = Agent(service, AgentOptions(objectives=PATHS, workspace=Path(workspace), **json.loads(options)))
    agent.install_signal_handlers()
    agent.run()
    service.close()
