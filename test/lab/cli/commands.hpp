// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/lab/lab/lab.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tblab {

/** The commands of `tblab`: their arguments and what each asks of the server. */
class Commands {
  public:
    /** Adds the subcommands to the parser; this must outlive the parsing. */
    explicit Commands(CLI::App& app);
    /** Does what was parsed. @return the exit code @throws LabError */
    int run();

  private:
    void add_up(CLI::App& app);
    void add_guest_commands(CLI::App& app);
    void add_cable_commands(CLI::App& app);
    void add_reports(CLI::App& app);
    CLI::App* add(CLI::App& parent, const char* name, const char* help,
                  std::function<int()> action);

    nlohmann::json ask(nlohmann::json request) const;
    int up();
    int down();
    int run_in_guest(const CLI::App& command);
    int shell();
    int console();
    int stats();
    int status();

    std::function<int()> action_;
    std::string name_ = "default";

    // up
    LabOptions options_;
    std::string boot_ = "fast";
    std::vector<std::string> modules_;
    bool unplugged_ = false;
    // arguments of the other commands
    std::string host_, cable_, local_, remote_;
    std::string direction_ = "both";
    std::vector<std::string> words_;
    unsigned timeout_ = 600;
    unsigned lose_ = 0;
    bool json_ = false;
    bool reset_ = false;
};

} // namespace tblab
