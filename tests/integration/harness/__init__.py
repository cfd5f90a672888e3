# SPDX-License-Identifier: GPL-2.0-or-later
"""What the integration tests and the benchmarks stand on: a build, namespaces, daemons, clients."""
