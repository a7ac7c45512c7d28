"""From a graph to kernels: which ops share a kernel, in what order the kernels run, and where their buffers lie."""
