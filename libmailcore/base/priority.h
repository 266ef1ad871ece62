// Who gets the processor first.
#pragma once

namespace mail {

/// The calling thread gives way to all that somebody waits for: it becomes nice by 10 (setpriority(2)), and so do the
/// programs that it starts. There is no way back for an ordinary user's process.
void give_way();

}  // namespace mail
