// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/lab/lab.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <string>

namespace tblab {

/**
 * The background half of the `tblab` command: owns a lab and serves its control
 * socket, one JSON request and one answer a connection, until it is told "down"
 * or gets SIGTERM. SIGTERM and SIGINT must be blocked before the first thread
 * starts.
 */
class Server {
  public:
    Server(Lab& lab, const std::filesystem::path& socket);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void serve();

  private:
    void handle(int fd);
    nlohmann::json answer(const nlohmann::json& request);
    nlohmann::json status();

    Lab& lab_;
    int listener_;
    int stop_; ///< eventfd that ends serve()
};

/**
 * Builds the lab in a background process and returns when it is up.
 * @param progress gets one line per step
 * @throws LabError
 */
void start_server(const LabOptions& options, const std::string& name,
                  const std::function<void(const std::string&)>& progress);

} // namespace tblab
