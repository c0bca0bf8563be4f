"""LocalStack's own entry; run by its interpreter (``localstack.command``).

Once LocalStack has ended in order, the interpreter would spend two more seconds on taking its modules apart.
"""

import os
import sys

from localstack.runtime.main import main

code: object = 0
try:
    main()
except SystemExit as ended:
    code = ended.code
sys.stdout.flush()
sys.stderr.flush()
os._exit(code if isinstance(code, int) else 0 if code is None else 1)
