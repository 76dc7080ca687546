"""Let mutmut write every change of core, and find out which tests reach what; started by mutation.py inside its copy.

The first half of ``mutmut run``. Its second half runs the tests twice more before the first change is tried, which
mutation_loop.py does once for all: with nothing changed every test has to pass.
"""

import sys
from pathlib import Path

from mutmut.__main__ import collect_or_load_stats, create_mutants, store_lines_covered_by_tests
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths
from mutmut.workers.isolation import get_mutant_runner


def main() -> int:
    """Prepare; the exit status is 0, or mutmut has said why not."""
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    store_lines_covered_by_tests()
    create_mutants(1)
    collect_or_load_stats(get_mutant_runner(1), mutants_caught_by_type_checker={}, apply_config_invalidation=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
