/* The thread pool behind nd_parallel (op.h). nd_threads and nd_set_threads are public (ndiv.h). */
#ifndef ND_POOL_H
#define ND_POOL_H

#include "op.h"

#if defined(_MSC_VER)
#define ND_THREAD_LOCAL __declspec(thread)
#else
#define ND_THREAD_LOCAL _Thread_local
#endif

enum { ND_MAX_THREADS = 256 };

/* From now on nd_parallel uses at most n workers when it is called by this thread (0: as many as nd_threads says).
   Returns the limit that was in force. A plan whose operations were prepared for n threads runs under it, since their
   scratch memory is divided by the number of workers and nd_set_threads may be called at any time. */
int nd_parallel_limit(int n);

#endif
