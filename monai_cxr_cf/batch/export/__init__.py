# SPDX-License-Identifier: Apache-2.0
"""From a finished batch to training data: real images, copies as a control, counterfactuals."""
