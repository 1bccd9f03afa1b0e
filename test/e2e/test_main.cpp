// SPDX-License-Identifier: Apache-2.0
#define BOOST_TEST_MODULE e2e
#include <boost/test/unit_test.hpp>
