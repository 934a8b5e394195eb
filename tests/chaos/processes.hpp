// What /proc says of processes, and signals that can only meet the right one.
#pragma once

#include <map>
#include <sys/types.h>

#include "support/processes.hpp"

namespace retinue_chaos {

using retinue_test::names_in;
using retinue_test::process_info;
using retinue_test::ProcessInfo;
using retinue_test::text_of;

/// All processes below this one, zombies among them. The runner is a subreaper, so orphans are found, too.
std::map<pid_t, ProcessInfo> descendants();

/// Sends a signal to a worker of a pool of this process: a living grandchild, which is verified while a descriptor
/// holds on to it, so that no other process that got its pid meanwhile is ever hit. False if it is none.
bool signal_worker(pid_t pid, int signal);
/// The fork server of a worker, likewise, which is a child of this process.
bool signal_server_of(pid_t worker, int signal);

}  // namespace retinue_chaos
