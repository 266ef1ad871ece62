// What a process keeps of memory that it does not use, given back to the system.
#pragma once

namespace mail {

/// Gives back what lies free in the heap's arenas: after a busy hour that is most of what malloc(3) holds. Thread-safe;
/// takes about a millisecond for each 10 MB.
void trim_heap();
/// Drops the pages of code and constants, the program's and its libraries', from this process's memory: what only the
/// start needed stays away, the rest comes back from the page cache as it is used. Nothing is written, for such pages
/// are never changed. Thread-safe.
void drop_unused_code();

}  // namespace mail
