/* A thread reads the value of the owner's bell after it has looked, rather than before. */
#define DEFECT_BELL_READ_LATE
#include "../configurations/futures.pml"
