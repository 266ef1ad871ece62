#include "base/priority.h"

#include <sys/resource.h>
#include <unistd.h>

namespace mail {

void give_way() {
  constexpr int kNice = 10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
}

}  // namespace mail
