#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace mail {

void trim_heap() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

void drop_unused_code() {
  const auto drop = [](dl_phdr_info* object, std::size_t, void*) -> int {
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
      const auto& segment = object->dlpi_phdr[i];
      // Writable segments hold data, and what is only read after relocation (PT_GNU_RELRO): those pages are not the
      // file's any more.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
      const auto begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
      const auto end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
      if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  dl_iterate_phdr(drop, nullptr);
}

}  // namespace mail
