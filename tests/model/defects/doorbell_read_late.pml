/* A thread reads the value of the owner's doorbell after it has looked, rather than before. */
#define DEFECT_DOORBELL_READ_LATE
#include "../configurations/futures.pml"
