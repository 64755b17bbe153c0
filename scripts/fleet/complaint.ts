/** What is wrong with a network file, and where. `pointer`: a JSON pointer into the file. */
export type Complaint = { readonly pointer: string; readonly message: string }
