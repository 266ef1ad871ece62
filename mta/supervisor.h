// `mta` alone: runs serve and relay as two children that share nothing but the spool, and starts again the one that
// dies.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace mail::mta {

/// A part of the program that runs in a process of its own.
struct SupervisedChild {
  std::string name;          ///< `serve`: in the log, and as ps(1) shows it.
  std::function<int()> run;  ///< Its whole life; the process ends with this exit code.
};

/// Starts each of `children` in a process forked from this one, which has one thread and no state that they could
/// share: that saves them an exec, and the memory that a dynamic linker writes to is there once. Stays until SIGTERM;
/// SIGHUP is passed on. A child that cannot start at all (sysexits 64 to 78 before it was ever ready) ends everything
/// with its exit code; one that dies later is started again after a second.
/// @param argv  of main(): ps(1) shows a child's name behind the program's
int supervise(std::vector<SupervisedChild> children, char** argv);

}  // namespace mail::mta
