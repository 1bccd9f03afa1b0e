// SPDX-License-Identifier: Apache-2.0
// The one entry point of the core's unit tests.
#define BOOST_TEST_MODULE proto
#include <boost/test/unit_test.hpp>
