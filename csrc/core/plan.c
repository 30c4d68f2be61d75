/* Plans: load, verify, run. */
#include "op.h"
typedef int nd_plan_placeholder;
